import pytest

from textgate.domain.admission import HOUR, MINUTE, Admission, network
from textgate.domain.errors import RateLimited


def wrong(admission: Admission, address: str | None, now: int, times: int = 1) -> None:
    for _ in range(times):
        admission.guess(address, now)


def test_ten_wrong_guesses_a_minute_from_one_address_and_sixty_an_hour() -> None:
    admission = Admission()
    for minute in range(6):
        wrong(admission, "192.0.2.1", minute * MINUTE, times=10)
        if minute < 5:
            with pytest.raises(RateLimited) as refused:
                admission.guess("192.0.2.1", minute * MINUTE)
            assert refused.value.retry_after_s == 60
    with pytest.raises(RateLimited) as refused:
        admission.guess("192.0.2.1", 6 * MINUTE)
    assert refused.value.retry_after_s == 54 * 60
    admission.guess("192.0.2.1", HOUR)


def test_right_guesses_are_not_counted() -> None:
    admission = Admission()
    for _ in range(1_000):
        admission.guess("192.0.2.1", 0)
        admission.right("192.0.2.1")
    wrong(admission, "192.0.2.1", 0, times=10)


def test_sixty_wrong_guesses_a_minute_from_everywhere() -> None:
    admission = Admission()
    for n in range(60):
        admission.guess(f"192.0.2.{n}", 0)
    with pytest.raises(RateLimited):
        admission.guess("198.51.100.1", 0)
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
    ],
)
def test_what_counts_as_one_address(address: str | None, counted: str) -> None:
    assert network(address) == counted
