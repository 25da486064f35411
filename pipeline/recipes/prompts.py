"""Render the prompts of an image: insert columns of the manifest, and make the choices that its seed determines."""

from collections.abc import Iterable
from typing import Any

from pipeline.errors import ManifestPromptError, RecipePromptError
from schemas.prompt import fill_columns, is_choice, split_template, template_columns
from schemas.recipe import Recipe

PROMPT_COLUMNS = ("prompt", "negative_prompt")


class PromptRenderer:
    """Renders the prompts of a recipe for the photos of a manifest.

    Args:
        recipe: The recipe.
        columns: The columns of the manifest that prompts may name.

    Raises:
        ManifestPromptError: A prompt of the recipe names a column that is missing or has no values.
        RecipePromptError: A prompt of the recipe has an invalid choice.
    """

    def __init__(self, recipe: Recipe, columns: Iterable[str]) -> None:
        self._templates = {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
        self._columns = list(columns)
        for key, template in self._templates.items():
            try:
                self._check_columns(template)
            except ValueError as error:
                raise ManifestPromptError(f"recipe {recipe.name}: {key}: {error}") from error
            try:
                self._render(template, dict.fromkeys(self._columns), 0)
            except ValueError as error:
                raise RecipePromptError(f"recipe {recipe.name}: {key}: {error}") from error

    def of(self, photo: dict[str, Any], seed: int) -> dict[str, str | None]:
        """Render both prompts of an image.

        A prompt in the manifest replaces the prompt of the recipe. If the prompt of the recipe contains
        the placeholder `{prompt}` (in the negative prompt, `{negative_prompt}`), only the placeholder is replaced.

        Args:
            photo: The row of the manifest.
            seed: The seed of the image, which determines the choices.

        Returns:
            `prompt`, `negative_prompt` and `prompt_error`. The error says why a prompt of the manifest is invalid, and
            is None if both are valid. An invalid prompt is returned as it is in the manifest.
        """
        prompts: dict[str, str | None] = {"prompt_error": None}
        for key in PROMPT_COLUMNS:
            template = self._templates[key]
            if photo[key] is not None and f"{{{key}}}" not in template:
                template = photo[key]
            try:
                self._check_columns(template)
                prompts[key] = self._render(template, photo, seed)
            except ValueError as error:
                prompts |= {key: template, "prompt_error": f"{key}: {error}"}
        return prompts

    def _check_columns(self, template: str) -> None:
        """Raise ValueError if the braces of a template do not match, or if it names a missing or empty column."""
        missing = [name for name in template_columns(template) if name not in self._columns]
        if missing:
            columns = ", ".join(self._columns)
            raise ValueError(f"{missing[0]!r} is not a column with values in the manifest, which has {columns}")

    def _render(self, template: str, photo: dict[str, Any], seed: int) -> str:
        columns = template_columns(template)
        return render_prompt(
            template, {name: "" if photo[name] is None else str(photo[name]) for name in columns}, seed
        )


def render_prompt(template: str, columns: dict[str, str], seed: int) -> str:
    """Render a template.

    Args:
        template: The template. Its choices have the syntax of dynamicprompts, such as `{a|b}`, `{2$$a|b|c}` and
            `{0.2::a|b}`, and may be nested.
        columns: The text of each column that the template names.
        seed: The seed of the choices. The same seed makes the same choices.

    Raises:
        ValueError: The braces do not match, or a choice is invalid.
    """
    parts = split_template(template)
    choices = [part for part in parts[1::2] if is_choice(part)]
    chosen = iter(_choose(choices, columns, seed)) if choices else iter(())
    texts = [next(chosen) if is_choice(part) else fill_columns(part, columns) for part in parts[1::2]]
    return "".join(plain + text for plain, text in zip(parts[::2], [*texts, ""], strict=True))


def _choose(choices: list[str], columns: dict[str, str], seed: int) -> list[str]:
    """Return the chosen text of each choice.

    Columns are inserted last, because dynamicprompts would interpret characters such as `|` and `#` in their texts.
    """
    from dynamicprompts.generators import RandomPromptGenerator  # the import is slow, and most prompts have no choices
    from pyparsing import ParseBaseException

    # The placeholders are delimited by characters of Unicode's private use area, which dynamicprompts leaves unchanged.
    placeholders = {name: f"{chr(0xE000)}{name}{chr(0xE001)}" for name in columns}
    generator, texts = RandomPromptGenerator(seed=seed), []
    for choice in choices:
        try:
            text = generator.generate(fill_columns(choice, placeholders), 1)[0]
        except (ParseBaseException, RecursionError) as error:
            raise ValueError(f"{choice!r} is an invalid choice ({error})") from error
        for name, placeholder in placeholders.items():
            text = text.replace(placeholder, columns[name])
        texts.append(text)
    return texts
