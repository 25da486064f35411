"""The prompt of one picture: columns of its row filled in, and of each choice the one that its seed takes."""

from collections.abc import Iterable
from typing import Any

from pipeline.faults import ManifestFault
from schemas.prompt import is_choice, pieces, template_columns, with_columns
from schemas.recipe import Recipe

KINDS = ("prompt", "negative_prompt")


class Prompts:
    """The prompts of a recipe over a manifest of these columns. Raises `ManifestFault` where one is missing."""

    def __init__(self, recipe: Recipe, columns: Iterable[str]) -> None:
        self._templates = {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
        self._columns = list(columns)
        for template in self._templates.values():
            self._check(template, f"recipe {recipe.name}")

    def of(self, photo: dict[str, Any], seed: int) -> dict[str, str]:
        """Return both prompts of one picture of a photo. Raises `ManifestFault` for one of its own that is no template.

        A photo's own prompt stands for the recipe's, unless that one names it as `{prompt}`.
        """
        return {kind: self._one(kind, photo, seed) for kind in KINDS}

    def _one(self, kind: str, photo: dict[str, Any], seed: int) -> str:
        template, where = self._templates[kind], f"photo_id {photo['photo_id']!r}"
        if photo[kind] is not None and f"{{{kind}}}" not in template:
            template = photo[kind]
            self._check(template, where)
        columns = {name: "" if photo[name] is None else str(photo[name]) for name in template_columns(template)}
        try:
            return prompt_of(template, columns, seed)
        except ValueError as error:
            message = f"{where}: {kind}: {error}"
            raise ManifestFault(message, "See the README on prompts.") from error

    def _check(self, template: str, where: str) -> None:
        try:
            missing = sorted(set(template_columns(template)) - set(self._columns))
        except ValueError as error:
            message = f"{where}: the prompt cannot be read: {error}"
            raise ManifestFault(message, "Write {column}, or {a|b} for a choice.") from error
        if missing:
            message = f"{where}: the prompt names {missing[0]!r}, which the manifest has no column for"
            raise ManifestFault(message, f"It has {', '.join(self._columns)}.")


def prompt_of(template: str, columns: dict[str, str], seed: int) -> str:
    """Return a template's text for one picture; `columns` holds the text of each column that it names.

    Choices are dynamicprompts': `{a|b}`, `{2$$a|b|c}`, `{0.2::a|b}`, one in another. The same seed chooses the same.
    Raises ValueError for a template that is none.
    """
    cut = pieces(template)
    choices = [piece for piece in cut[1::2] if is_choice(piece)]
    chosen = iter(_chosen(choices, columns, seed)) if choices else iter(())
    texts = [next(chosen) if is_choice(piece) else with_columns(piece, columns) for piece in cut[1::2]]
    return "".join(first + second for first, second in zip(cut[::2], [*texts, ""], strict=True))


def _chosen(choices: list[str], columns: dict[str, str], seed: int) -> list[str]:
    """Return one of each choice. A column's name stays a mark meanwhile: its text may look like a choice, or like #."""
    from dynamicprompts.generators import RandomPromptGenerator  # here, not above: few prompts have choices
    from pyparsing import ParseBaseException

    marks = {name: f"{chr(0xE000)}{name}{chr(0xE001)}" for name in columns}  # of Unicode's private use
    generator, texts = RandomPromptGenerator(seed=seed), []
    for choice in choices:
        try:
            text = generator.generate(with_columns(choice, marks), 1)[0]
        except ParseBaseException as error:
            message = f"{choice!r} is no choice ({error})"
            raise ValueError(message) from error
        for name, mark in marks.items():
            text = text.replace(mark, columns[name])
        texts.append(text)
    return texts
