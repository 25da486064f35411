"""The token bucket keeps its rate, also for threads and when a new bucket replaces it."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.plan.rate_limit import TokenBucket


class Clock:
    """A clock whose time passes only when a caller sleeps, or a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_tokens_have_equal_distances() -> None:
    clock, taken = Clock(), list[float]()
    bucket = TokenBucket(4, clock.time, clock.sleep)
    for _ in range(5):
        bucket.take()
        taken.append(clock.now)
    assert taken == [100.25, 100.5, 100.75, 101.0, 101.25]


def test_a_pause_saves_one_token_only() -> None:
    clock, taken = Clock(), list[float]()
    bucket = TokenBucket(2, clock.time, clock.sleep)
    clock.now += 60
    for _ in range(3):
        bucket.take()
        taken.append(clock.now)
    assert taken == [160.0, 160.5, 161.0]


def test_a_new_bucket_keeps_the_distance_to_the_last_token_of_the_old_one() -> None:
    clock = Clock()
    TokenBucket(2, clock.time, clock.sleep).take()
    last = clock.now
    TokenBucket(2, clock.time, clock.sleep).take()
    assert clock.now - last == 0.5


def test_threads_share_the_rate() -> None:
    waited = list[float]()
    bucket = TokenBucket(10, lambda: 0.0, waited.append)  # no time passes, so that each wait is the time of a token
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: bucket.take(), range(50)))
    assert sorted(waited) == pytest.approx([number / 10 for number in range(1, 51)])
