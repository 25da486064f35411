"""The converter on rows: it returns failed rows unchanged, and an image does not depend on the other rows."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.diffusion.request import GeneratedImage
from pipeline.errors import ModelError, TooManyPixelsError
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.convert import Converter
from schemas.recipe import Recipe
from schemas.work import Converted, Decoded, Failed, Mapped
from tests.rows import edit, failed_row_of, png
from tests.tiny import tiny_recipe, write_ip_adapter, write_net, write_sd

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Rows = list[Mapped | Failed]


@pytest.fixture(scope="module")
def converter(recipe: Recipe) -> Converter:
    return Converter(recipe)


@pytest.fixture
def mapped(decoded: Decoded, recipe: Recipe) -> Rows:
    """Return five rows with control maps, in two shapes. The second row has failed."""
    rows: list[Decoded | Failed] = []
    for number, (width, height) in enumerate(((64, 64), (64, 64), (128, 64), (64, 64), (64, 64))):
        planned = {"photo_id": f"p{number}", "key": f"{number}" * 16, "seed": number}
        pixels = np.tile(np.roll(decoded.pixels, 10 * number, axis=0), (1, width // 64, 1))  # different photos
        rows.append(edit(decoded, planned=planned, canvas={"width": width, "height": height}, pixels=pixels))
    rows[1] = failed_row_of(rows[1].planned)
    return ControlMaps(recipe, frozenset({"openpose", "depth"})).run(rows)


def convert(converter: Converter, rows: Rows) -> dict[str, Converted | Failed]:
    return {row.planned.photo_id: row for row in converter.run(rows)}


def images(converter: Converter, rows: Rows) -> dict[str, np.ndarray]:
    return {name: row.image for name, row in convert(converter, rows).items() if isinstance(row, Converted)}


def test_every_row_has_an_image_of_its_size_or_its_failure(converter: Converter, mapped: Rows) -> None:
    rows = convert(converter, mapped)
    assert list(rows) == [f"p{number}" for number in range(5)]
    assert rows["p1"] is mapped[1]
    shapes = {name: image.shape for name, image in images(converter, mapped).items()}
    assert shapes == {"p0": (64, 64, 3), "p2": (64, 128, 3), "p3": (64, 64, 3), "p4": (64, 64, 3)}
    first = rows["p0"]
    assert isinstance(first, Converted)
    assert first.made_by.device
    assert first.timing.seconds.convert


def test_an_image_does_not_depend_on_the_other_rows_or_their_order(converter: Converter, mapped: Rows) -> None:
    together = images(converter, mapped)
    reversed_order = images(converter, mapped[::-1])
    alone = images(converter, [mapped[3]])
    for name in ("p0", "p2", "p3", "p4"):
        assert (reversed_order[name] == together[name]).all()
    assert (alone["p3"] == together["p3"]).all()


def test_a_restarted_converter_generates_the_same_image(recipe: Recipe, converter: Converter, mapped: Rows) -> None:
    again = images(Converter(recipe), mapped)
    assert (again["p0"] == images(converter, mapped)["p0"]).all()


@pytest.mark.parametrize("size", [2, 3])
def test_another_batch_size_changes_values_by_at_most_one(
    converter: Converter, mapped: Rows, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = images(converter, mapped)
    monkeypatch.setattr(converter._generator._size, "current", size)
    for name, image in images(converter, mapped).items():
        assert np.abs(image.astype(int) - before[name]).max() <= 1


def test_a_unit_of_failed_rows_passes(converter: Converter, mapped: Rows) -> None:
    assert converter.run([mapped[1]]) == [mapped[1]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd")
    write_sd(folder / "base")
    write_net(folder / "base", folder / "net-0")
    return folder


def mapped_by(recipe: Recipe, row: Decoded) -> Mapped:
    (mapped,) = ControlMaps(recipe).run([row])
    assert isinstance(mapped, Mapped)
    return mapped


def test_invalid_prompts_and_a_missing_mask_fail_one_row(tiny: Path, decoded: Decoded) -> None:
    recipe = tiny_recipe(tiny, "inpaint")
    mask = png(np.pad(np.full((32, 32), 255, np.uint8), 16))
    good = edit(mapped_by(recipe, edit(decoded, canvas={"mask": mask})), planned={"photo_id": "good"})

    def other(name: str, **planned: str) -> Mapped:
        return edit(good, planned={"photo_id": name, "key": name, **planned})

    weights = other("weights", prompt='("a").blend(x)')
    template = other("template", prompt_error="prompt: the braces do not match")
    without = edit(other("mask"), canvas={"mask": None})
    rows = convert(Converter(recipe), [weights, good, template, without])
    assert isinstance(rows.pop("good"), Converted)
    failures = {name: row.failure for name, row in rows.items() if isinstance(row, Failed)}
    assert {name: failure.code for name, failure in failures.items()} == {
        "weights": "prompt.invalid_weights",
        "template": "prompt.invalid_template",
        "mask": "control_map.missing_mask",
    }
    assert failures["template"].message == "prompt: the braces do not match"
    assert {failure.stage for failure in failures.values()} == {"convert"}


def test_an_unusable_image_is_a_failure_that_names_the_retries(
    tiny: Path, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny)
    converter = Converter(recipe)
    monkeypatch.setattr(converter._generator, "generate", lambda _: [GeneratedImage(None, 1, ("this", "that"))])
    (row,) = converter.run([edit(mapped_by(recipe, decoded), timing={"attempts": 2})])
    assert isinstance(row, Failed)
    assert row.failure.code == "generate.unusable_image"
    assert row.timing.attempts == 2  # of the fetch step; the retries of the generation are not counted here
    assert "this, that" in row.failure.message
    assert row.made_by is not None
    assert row.made_by.retried == "this, that"


@pytest.mark.parametrize(("policy", "code"), [("flag", None), ("drop", "generate.unsafe_image")])
def test_an_unsafe_image_is_flagged_or_dropped(
    tiny: Path, decoded: Decoded, policy: str, code: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny)
    converter = Converter(recipe)
    converter._recipe = recipe.model_copy(update={"safety": recipe.safety.model_copy(update={"policy": policy})})
    unsafe = GeneratedImage(np.zeros((64, 64, 3), np.uint8), 1, (), nsfw=True)
    monkeypatch.setattr(converter._generator, "generate", lambda _: [unsafe])
    (row,) = converter.run([mapped_by(recipe, decoded)])
    assert row.made_by is not None
    assert row.made_by.nsfw is True
    assert (row.failure.code if isinstance(row, Failed) else None) == code


def test_the_digest_of_the_reference_image_is_recorded(tiny: Path, tmp_path: Path, decoded: Decoded) -> None:
    red, blue = (png(np.asarray(Image.new("RGB", (40, 40), color))) for color in ("red", "blue"))
    (tmp_path / "style.png").write_bytes(red)
    adapter = write_ip_adapter(tiny / "base", tmp_path) | {"reference": str(tmp_path / "style.png")}
    recipe = tiny_recipe(tiny, ip_adapter=adapter)
    default = mapped_by(recipe, decoded)
    own = edit(default, planned={"photo_id": "own", "key": "own"}, reference=blue)
    first, second = Converter(recipe).run([own, default])
    assert isinstance(first, Converted)
    assert isinstance(second, Converted)
    assert first.made_by.reference_sha256 == hashlib.sha256(blue).hexdigest()
    assert second.made_by.reference_sha256 == hashlib.sha256(red).hexdigest()
    assert (first.image != second.image).any()
    with pytest.raises(ModelError):
        Converter(recipe, max_pixels=40 * 40 - 1)
    large = edit(own, reference=png(np.zeros((41, 41, 3), np.uint8)))
    (refused,) = Converter(recipe, max_pixels=40 * 40).run([large])
    assert isinstance(refused, Failed)
    assert refused.failure.code == TooManyPixelsError.code
    plain = tiny_recipe(tiny)
    (without,) = Converter(plain).run([mapped_by(plain, decoded)])
    assert isinstance(without, Converted)
    assert without.made_by.reference_sha256 is None
