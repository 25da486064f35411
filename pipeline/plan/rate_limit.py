"""Limit how often threads send requests."""

import threading
import time
from collections.abc import Callable


class TokenBucket:
    """A token bucket that holds one token, so that any second has at most `rate` requests.

    It is empty at first. A bucket that replaces another one therefore keeps the limit in the second of the change.

    Args:
        rate: Tokens per second.
        clock: Returns a monotonic time in seconds.
        wait: Waits for a number of seconds, and returns whether the bucket was closed.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._closed = threading.Event()
        self._interval, self._clock, self._wait = 1 / rate, clock, wait or self._closed.wait
        self._next = clock() + self._interval  # the time of the next token
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for a token, and remove it. Threads take tokens in the order in which they asked.

        Raises:
            InterruptedError: The bucket was closed.
        """
        with self._lock:
            now = self._clock()
            token = max(now, self._next)
            self._next = token + self._interval
        if token > now and self._wait(token - now):
            raise InterruptedError("the rate limit was closed")

    def close(self) -> None:
        """End the waiting of all threads."""
        self._closed.set()
