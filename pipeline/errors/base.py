"""The base classes of errors: `PhotoError` for one photo, and `RunError` for the run."""

from typing import Any, ClassVar


class Photo2AnimeError(Exception):
    """Base class of every error that photo2anime reports to its users.

    The first line of a class's docstring says what the error means. `photo2anime explain` prints it.

    Attributes:
        code: A stable identifier, recorded in provenance and logs, such as `manifest.missing_column`.
        hint: A short instruction that says what to do.
    """

    code: str
    hint: ClassVar[str] = ""


class PhotoError(Photo2AnimeError):
    """One photo cannot be converted. The row becomes a failure, and the run continues.

    Args:
        message: What failed, without a full stop.
        retryable: Whether the same photo may succeed in a later run, as after a network error.
        attempts: How often the operation was attempted.

    Attributes:
        known: Fields that the step determined before it failed. They are added to the record of the failed row.
    """

    code = "photo"

    def __init__(self, message: str, *, retryable: bool = False, attempts: int = 1) -> None:
        super().__init__(" ".join(message.split()))
        self.retryable = retryable
        self.attempts = attempts
        self.known: dict[str, Any] = {}


class RunError(Photo2AnimeError):
    """The run cannot start, or another command failed.

    Only the subclass `RunStoppedError` is for a run that started and ended early.

    Args:
        message: The object and its problem, without a full stop: `photos.parquet: column 'uri' is missing`.
        hint: A short instruction. Defaults to the hint of the class.
    """

    code = "run"
    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        advice = type(self).hint if hint is None else hint
        super().__init__(" ".join(f"{message}. {advice}".split()) if advice else " ".join(message.split()))

    def __reduce__(self) -> tuple[type["RunError"], tuple[str, str]]:
        """Copy and pickle with the complete message and an empty hint, so that the hint is not appended twice."""
        return type(self), (str(self), "")


def shorten(text: str, most: int) -> str:
    """Return a text of at most `most` characters, and a mark if the middle of a longer text was omitted."""
    return text if len(text) <= most else f"{text[: most // 2]} [...] {text[-most // 2 :]}"


def describe_exception(error: BaseException) -> str:
    """Return the class and the message of an exception of a library, whose conversion to a text may fail."""
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except RunError:  # of a signal
        raise
    except Exception:  # noqa: BLE001 - the message is unknown then
        return name
