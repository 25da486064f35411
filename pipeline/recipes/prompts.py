"""The prompt of one picture: columns of its row filled in, and of each choice the one that its seed takes."""

from collections.abc import Iterable
from typing import Any

from pipeline.errors import ManifestError
from schemas.prompt import is_choice, pieces, template_columns, with_columns
from schemas.recipe import Recipe

PROMPT_COLUMNS = ("prompt", "negative_prompt")


class PromptRenderer:
    """The prompts of a recipe over a manifest of these columns.

    Raises `ManifestError` where the recipe names a column that is missing, or a choice that is none.
    """

    def __init__(self, recipe: Recipe, columns: Iterable[str]) -> None:
        self._templates = {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
        self._columns = list(columns)
        for kind, template in self._templates.items():
            try:
                self._filled(template, dict.fromkeys(self._columns), 0)
            except ValueError as error:
                message = f"recipe {recipe.name}: {kind}: {error}"
                raise ManifestError(message, "Write {column}, or {a|b} for a choice.") from error

    def of(self, photo: dict[str, Any], seed: int) -> dict[str, str | None]:
        """Return both prompts of one picture of a photo, and as `prompt_error` why one of its own is no template.

        A photo's own prompt stands for the recipe's, unless that one names it as `{prompt}`.
        """
        texts: dict[str, str | None] = {"prompt_error": None}
        for kind in PROMPT_COLUMNS:
            template = self._templates[kind]
            if photo[kind] is not None and f"{{{kind}}}" not in template:
                template = photo[kind]
            try:
                texts[kind] = self._filled(template, photo, seed)
            except ValueError as error:
                texts |= {kind: template, "prompt_error": f"{kind}: {error}"}
        return texts

    def _filled(self, template: str, photo: dict[str, Any], seed: int) -> str:
        """Return a template's text for a photo. Raises ValueError for one that is none, or names no column."""
        named = template_columns(template)
        missing = [name for name in named if name not in self._columns]
        if missing:
            message = f"{missing[0]!r} is no column with values in the manifest, which has {', '.join(self._columns)}"
            raise ValueError(message)
        return render_prompt(template, {name: "" if photo[name] is None else str(photo[name]) for name in named}, seed)


def render_prompt(template: str, columns: dict[str, str], seed: int) -> str:
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
        except (ParseBaseException, RecursionError) as error:
            message = f"{choice!r} is no choice ({error})"
            raise ValueError(message) from error
        for name, mark in marks.items():
            text = text.replace(mark, columns[name])
        texts.append(text)
    return texts
