"""Translate the errors of Ray to errors of this project."""

import re

import ray

from pipeline.errors import RunStoppedError

_OWN_ERROR = re.compile(r"^pipeline\.errors\.[\w.]+: (.+)$", re.MULTILINE)
_FOREIGN_ERROR = re.compile(r"(?!ray\.)[\w.]+(Error|Exception): ")


def run_stopped_error(error: BaseException) -> RunStoppedError:
    """Return the error that ended the run.

    Ray reports the error of a task as text only: the traceback, which ends with the class and the message of the error,
    and then lines that Ray adds. If it is an error of this project, the result has its message.
    """
    own = _OWN_ERROR.search(str(error))
    if own:
        return RunStoppedError(own.group(1), "")
    hint = "Run the same command with --verbose to continue the run and see the traceback."
    return RunStoppedError(f"run: {describe_ray_error(error)}", hint)


def describe_ray_error(error: BaseException) -> str:
    """Return the first line of an error that names an exception from outside Ray, or else the last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, ray.exceptions.OutOfMemoryError):  # whose other lines are advice
        return lines[0]
    return next((line for line in lines if _FOREIGN_ERROR.match(line)), lines[-1])
