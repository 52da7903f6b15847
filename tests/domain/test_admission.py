import pytest

from textgate.domain.admission import HOUR, MINUTE, Admission, network
from textgate.domain.errors import RateLimited, Unauthenticated, Unavailable


def wrong(admission: Admission, address: str | None, now: int, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Unauthenticated), admission.guess(address, now):
            raise Unauthenticated("wrong")


def refused(admission: Admission, address: str, now: int) -> int:
    """Return how many seconds the next guess has to wait."""
    with pytest.raises(RateLimited) as refusal, admission.guess(address, now):
        raise AssertionError("it is not refused")
    return refusal.value.retry_after_s


def test_ten_wrong_guesses_a_minute_from_one_address_and_sixty_an_hour() -> None:
    admission = Admission()
    for minute in range(6):
        wrong(admission, "192.0.2.1", minute * MINUTE, times=10)
        if minute < 5:
            assert refused(admission, "192.0.2.1", minute * MINUTE) == 60
    assert refused(admission, "192.0.2.1", 6 * MINUTE) == 54 * 60
    wrong(admission, "192.0.2.1", HOUR)


def test_right_guesses_and_those_that_nobody_could_look_at_are_not_counted() -> None:
    admission = Admission()
    for _ in range(1_000):
        with admission.guess("192.0.2.1", 0):
            pass
        with pytest.raises(Unavailable), admission.guess("192.0.2.1", 0):
            raise Unavailable("the database is locked")
    wrong(admission, "192.0.2.1", 0, times=10)
    assert refused(admission, "192.0.2.1", 0) == 60


def test_sixty_wrong_guesses_a_minute_from_everywhere() -> None:
    admission = Admission()
    for n in range(60):
        wrong(admission, f"192.0.2.{n}", 0)
    assert refused(admission, "198.51.100.1", 0) == 60
    # Who was refused for the others' sake has all of their own left.
    wrong(admission, "198.51.100.1", MINUTE, times=10)


def test_thirty_accounts_an_hour_for_an_address_and_thirty_codes_a_minute_for_an_account() -> None:
    admission = Admission()
    for n in range(30):
        admission.new_account("192.0.2.1", n)
        admission.new_code("account", n)
    with pytest.raises(RateLimited):
        admission.new_account("192.0.2.1", HOUR - 1)
    with pytest.raises(RateLimited):
        admission.new_code("account", MINUTE - 1)
    admission.new_account("192.0.2.2", 30)
    admission.new_code("other", 30)
    admission.new_account("192.0.2.1", HOUR)
    admission.new_code("account", MINUTE)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::1", "2001:db8:1:2::"),
        (None, "unknown"),
        ("", "unknown"),
        ("somewhere", "somewhere"),
        ("x" * 60_000, "x" * 64),
    ],
)
def test_what_counts_as_one_address(address: str | None, counted: str) -> None:
    assert network(address) == counted
