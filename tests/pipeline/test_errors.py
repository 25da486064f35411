"""The error classes: unique codes, hints, exit codes, and messages of one line."""

import copy
import inspect
import pickle
import re
from collections import Counter

import pytest

from pipeline import errors
from pipeline.errors import InterruptedRunError, Photo2AnimeError, describe_exception

CLASSES = [error for error in vars(errors).values() if inspect.isclass(error) and issubclass(error, Photo2AnimeError)]
CONCRETE = [error for error in CLASSES if "." in vars(error).get("code", "")]


def test_every_class_is_exported() -> None:
    def subclasses(parent: type[Photo2AnimeError]) -> set[type[Photo2AnimeError]]:
        return {parent}.union(*(subclasses(child) for child in parent.__subclasses__()))

    defined = {error for error in subclasses(Photo2AnimeError) if error.__module__.startswith("pipeline.errors")}
    assert defined == set(CLASSES)
    exported = [name for name in errors.__all__ if isinstance(getattr(errors, name), type)]
    assert sorted(exported) == sorted(error.__name__ for error in CLASSES)


def test_codes_are_unique_and_start_with_the_code_of_their_parent_class() -> None:
    counts = Counter(error.code for error in CONCRETE)
    assert max(counts.values()) == 1
    for error in CONCRETE:
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", error.code)
        kind = next(parent for parent in error.__mro__ if parent.__base__ in {errors.PhotoError, errors.RunError})
        assert error.code.partition(".")[0] == kind.code.partition(".")[0]


@pytest.mark.parametrize("error", CONCRETE, ids=lambda error: error.__name__)
def test_meaning_and_hint_of_an_error_are_sentences(error: type[Photo2AnimeError]) -> None:
    assert (error.__doc__ or "").partition("\n")[0].endswith(".")
    assert re.match(r"[A-Z].*\.$", error.hint)


def test_the_message_of_a_run_error_is_one_line_with_its_hint() -> None:
    assert str(errors.OutputError("out: is\nfull", "Free   some.")) == "out: is full. Free some."
    assert str(errors.OutputError("out: invalid")) == f"out: invalid. {errors.OutputError.hint}"
    assert str(errors.OutputError("out: invalid", "")) == "out: invalid"


@pytest.mark.parametrize("error", [errors.OutputError("out: invalid"), errors.OutputError("out: full", "Free some.")])
def test_a_copied_run_error_has_its_hint_once(error: errors.RunError) -> None:
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - as processes pass errors on
        assert (type(again), str(again)) == (type(error), str(error))


def test_exit_codes() -> None:
    stopped = {error for error in CLASSES if issubclass(error, errors.RunStoppedError)}
    assert {error.exit_code for error in stopped} == {1}
    assert {error.exit_code for error in CLASSES if issubclass(error, errors.RunError) and error not in stopped} == {2}


def test_photo_errors_are_not_run_errors() -> None:
    assert not any(issubclass(error, errors.PhotoError) and issubclass(error, errors.RunError) for error in CLASSES)
    assert errors.ImageError("x").retryable is False


def test_an_exception_without_a_text_is_described_by_its_class() -> None:
    class Silent(Exception):  # noqa: N818 - its name is part of the test
        """An exception whose conversion to a text fails."""

        def __str__(self) -> str:
            raise RuntimeError

    assert describe_exception(Silent()) == "Silent"
    assert describe_exception(ValueError("a")) == "ValueError: a"


def test_a_signal_interrupts_the_description_of_an_exception() -> None:
    class Interrupted(Exception):  # noqa: N818 - only its text matters
        def __str__(self) -> str:
            raise InterruptedRunError("interrupted")

    with pytest.raises(InterruptedRunError):
        describe_exception(Interrupted())
