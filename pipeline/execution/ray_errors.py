"""Ray's errors as one line of ours."""

import re

from pipeline.errors import RunStoppedError

_ERROR = re.compile(r"(?!ray\.)[\w.]+(Error|Exception): ")


def run_stopped_error(error: BaseException) -> RunStoppedError:
    """Return the fault that ended the work: ours where a step raised one, else the last line of Ray's.

    Ray hands over a step's error as text alone: the class and the message stand at the end of its traceback, with
    Ray's own words behind them.
    """
    ours = re.search(r"^pipeline\.errors\.[\w.]+: (.+)$", str(error), re.MULTILINE)
    if ours:
        return RunStoppedError(ours.group(1), "")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = next((line for line in lines if _ERROR.match(line)), lines[-1])
    return RunStoppedError(f"the work ended early: {last}", "Run it again with --verbose to see the whole; it goes on.")
