from textgate.domain.quota import Quota

MINUTE, HOUR = 60_000, 3_600_000


def test_so_many_starts_are_allowed_and_the_next_one_says_how_long_to_wait() -> None:
    quota = Quota((2, MINUTE), (3, HOUR))
    assert [quota.take("a", now) for now in (0, 10_000)] == [0, 0]
    assert quota.take("a", 20_000) == 40_000  # until the first is a minute old
    assert quota.take("a", 59_999) == 1


def test_whoever_was_refused_is_not_counted_and_may_start_at_the_time_told() -> None:
    quota = Quota((1, MINUTE))
    quota.take("a", 0)
    assert all(quota.take("a", now) > 0 for now in range(1_000, MINUTE, 1_000))
    assert quota.take("a", MINUTE) == 0


def test_the_longer_span_counts_too() -> None:
    quota = Quota((2, MINUTE), (3, HOUR))
    assert [quota.take("a", now) for now in (0, MINUTE, 2 * MINUTE)] == [0, 0, 0]
    assert quota.take("a", 3 * MINUTE) == HOUR - 3 * MINUTE
    assert quota.take("a", HOUR) == 0


def test_each_has_a_quota_of_its_own() -> None:
    quota = Quota((1, MINUTE))
    assert quota.take("a", 0) == 0
    assert quota.take("b", 0) == 0
    assert quota.take("a", 1) == MINUTE - 1


def test_a_clock_that_went_back_locks_nobody_out_for_longer_than_that() -> None:
    quota = Quota((1, MINUTE))
    quota.take("a", HOUR)
    assert quota.take("a", HOUR - 5_000) == MINUTE + 5_000


def test_a_start_that_is_given_back_is_not_counted() -> None:
    quota = Quota((1, MINUTE))
    assert quota.take("a", 0) == 0
    quota.give_back("a")
    quota.give_back("nobody")
    assert quota.take("a", 1) == 0
    assert quota.take("a", 2) == MINUTE - 1


def test_of_too_many_the_one_known_longest_is_forgotten() -> None:
    quota = Quota((1, MINUTE), most=2)
    assert [quota.take(who, 0) for who in ("a", "b", "c")] == [0, 0, 0]
    assert quota.take("b", 1) == quota.take("c", 1) == MINUTE - 1
    assert quota.take("a", 1) == 0
