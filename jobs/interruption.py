"""Stop a command when it receives SIGINT, SIGTERM or SIGHUP."""

import itertools
import os
import signal
from types import FrameType

from pipeline.errors import InterruptedRunError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IGNORED = 2  # the number of the signal that is ignored


def stop_on_signals() -> None:
    """Raise `InterruptedRunError` in the main thread at the first signal, so that Ray is stopped and files are removed.

    Meanwhile, a second signal is ignored, because users and supervisors repeat signals, and a third one ends the
    process at once, in case the clean-up hangs. SIGHUP stays ignored if it was ignored before, as by nohup.
    """
    numbers = itertools.count(1)

    def stop(received: int, _frame: FrameType | None) -> None:
        number = next(numbers)
        if number < _IGNORED:
            raise InterruptedRunError("interrupted")
        if number > _IGNORED:
            os._exit(128 + received)  # the exit code that shells report for a signal

    for each in SIGNALS:
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, stop)
