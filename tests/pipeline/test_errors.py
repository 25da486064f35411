"""The tree of errors: unique codes, hints, exit codes, and one line for each error."""

import copy
import inspect
import pickle
import re
from collections import Counter

import pytest

from pipeline import errors
from pipeline.errors import Photo2AnimeError

CLASSES = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, Photo2AnimeError)]
CONCRETE = [each for each in CLASSES if "." in vars(each).get("code", "")]


def test_every_class_is_exported() -> None:
    def subclasses(parent: type[Photo2AnimeError]) -> set[type[Photo2AnimeError]]:
        return {parent}.union(*(subclasses(child) for child in parent.__subclasses__()))

    ours = {each for each in subclasses(Photo2AnimeError) if each.__module__.startswith("pipeline.errors")}
    assert ours == set(CLASSES)
    assert sorted(errors.__all__) == sorted(each.__name__ for each in CLASSES)


def test_codes_are_unique_and_start_with_the_code_of_the_kind() -> None:
    counts = Counter(each.code for each in CONCRETE)
    assert max(counts.values()) == 1
    for each in CONCRETE:
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", each.code)
        kind = next(parent for parent in each.__mro__ if parent.__base__ in {errors.PhotoError, errors.RunError})
        assert each.code.partition(".")[0] == kind.code.partition(".")[0]


@pytest.mark.parametrize("kind", CONCRETE, ids=lambda kind: kind.__name__)
def test_an_error_has_a_meaning_and_an_imperative_hint(kind: type[Photo2AnimeError]) -> None:
    assert (kind.__doc__ or "").partition("\n")[0].endswith(".")
    assert re.match(r"[A-Z].*\.$", kind.hint)


def test_the_message_of_a_run_error_is_one_line_with_its_hint() -> None:
    assert str(errors.OutputError("out: is\nfull", "Free   some.")) == "out: is full. Free some."
    assert str(errors.OutputError("out: invalid")) == f"out: invalid. {errors.OutputError.hint}"
    assert str(errors.OutputError("out: invalid", "")) == "out: invalid"


@pytest.mark.parametrize("error", [errors.OutputError("out: invalid"), errors.OutputError("out: full", "Free some.")])
def test_a_copied_run_error_has_its_hint_once(error: errors.RunError) -> None:
    for again in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - as processes pass errors on
        assert (type(again), str(again)) == (type(error), str(error))


def test_exit_codes() -> None:
    stopped = {each for each in CLASSES if issubclass(each, errors.RunStoppedError)}
    assert {each.exit_code for each in stopped} == {1}
    assert {each.exit_code for each in CLASSES if issubclass(each, errors.RunError) and each not in stopped} == {2}


def test_photo_errors_are_not_run_errors() -> None:
    assert not any(issubclass(each, errors.PhotoError) and issubclass(each, errors.RunError) for each in CLASSES)
    assert errors.ImageError("x").retryable is False
