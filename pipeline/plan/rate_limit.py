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
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._interval, self._clock, self._sleep = 1 / rate, clock, sleep
        self._next = clock() + self._interval  # the time of the next token
        self._lock = threading.Lock()

    def take(self) -> None:
        """Wait for a token, and remove it. Threads take tokens in the order in which they asked."""
        with self._lock:
            now = self._clock()
            token = max(now, self._next)
            self._next = token + self._interval
        if token > now:
            self._sleep(token - now)
