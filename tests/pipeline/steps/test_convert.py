"""The converter on rows: groups of one shape, filled batches, failures left alone."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.diffusion.request import GeneratedImage
from pipeline.steps.control_maps import ControlMaps
from pipeline.steps.convert import Converter
from schemas.recipe import Recipe
from schemas.work import DECODED, MAPPED, Row
from tests.tiny import tiny_recipe, write_ip_adapter, write_net, write_sd

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def converter(recipe: Recipe) -> Converter:
    return Converter(recipe)


@pytest.fixture
def mapped(decoded: Row, recipe: Recipe) -> list[Row]:
    """Return five rows of two shapes behind the control maps, of which the second has failed."""
    rows = []
    for number, (width, height) in enumerate(((64, 64), (64, 64), (128, 64), (64, 64), (64, 64))):
        turned = decoded["pixels"][number * 640 :] + decoded["pixels"][: number * 640]  # each photo another one
        pixels = turned * (width // 64)
        rows.append(
            decoded | {"photo_id": f"p{number}", "seed": number, "width": width, "height": height, "pixels": pixels}
        )
    table = ControlMaps(recipe, frozenset({"openpose", "depth"}))(pa.Table.from_pylist(rows, DECODED))
    made = table.to_pylist()
    failure = {"stage": "fetch", "error": "FetchError", "message": "gone", "attempts": 1, "retryable": False}
    made[1] |= {"failure": failure, "maps": None, "pixels": None}
    return made


def convert(converter: Converter, rows: list[Row]) -> dict[str, Row]:
    return {row["photo_id"]: row for row in converter(pa.Table.from_pylist(rows, MAPPED)).to_pylist()}


def test_every_row_comes_back_with_a_picture_of_its_size_or_its_failure(
    converter: Converter, mapped: list[Row]
) -> None:
    rows = convert(converter, mapped)
    assert list(rows) == [f"p{number}" for number in range(5)]
    assert rows["p1"]["picture"] is None
    assert rows["p1"]["failure"]["message"] == "gone"
    assert [len(rows[name]["picture"]) for name in ("p0", "p2", "p3")] == [64 * 64 * 3, 128 * 64 * 3, 64 * 64 * 3]
    assert rows["p0"]["made_by"]["device"]
    assert rows["p0"]["seconds"]["convert"] > 0


def test_the_picture_does_not_depend_on_its_neighbours_nor_their_order(converter: Converter, mapped: list[Row]) -> None:
    whole = convert(converter, mapped)
    turned = convert(converter, mapped[::-1])
    alone = convert(converter, [mapped[3]])
    for name in ("p0", "p2", "p3", "p4"):
        assert turned[name]["picture"] == whole[name]["picture"]
    assert alone["p3"]["picture"] == whole["p3"]["picture"]


def test_a_restarted_converter_draws_the_same(recipe: Recipe, converter: Converter, mapped: list[Row]) -> None:
    again = convert(Converter(recipe), mapped)
    assert again["p0"]["picture"] == convert(converter, mapped)["p0"]["picture"]


@pytest.mark.parametrize("size", [2, 3])
def test_another_batch_size_is_the_same_within_a_step_of_255(
    converter: Converter, mapped: list[Row], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = convert(converter, mapped)
    monkeypatch.setattr(converter._diffusion._size, "now", size)
    for name, row in convert(converter, mapped).items():
        if row["picture"]:
            pairs = zip(row["picture"], before[name]["picture"], strict=True)
            assert max(abs(one - two) for one, two in pairs) <= 1


def test_a_unit_of_failures_alone_passes(converter: Converter, mapped: list[Row]) -> None:
    assert convert(converter, [mapped[1]])["p1"]["failure"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd")
    write_sd(folder / "base")
    write_net(folder / "base", folder / "net-0")
    return folder


def mapped_by(recipe: Recipe, row: Row) -> Row:
    made: Row = ControlMaps(recipe)(pa.Table.from_pylist([row], DECODED)).to_pylist()[0]
    return made


def test_a_prompt_that_cannot_be_read_and_a_missing_mask_fail_alone(tiny: Path, decoded: Row) -> None:
    recipe = tiny_recipe(tiny, "inpaint")
    mask = io.BytesIO()
    Image.fromarray(np.pad(np.full((32, 32), 255, np.uint8), 16)).save(mask, "png")
    good = mapped_by(recipe, decoded | {"mask": mask.getvalue(), "photo_id": "good"})
    bad = {
        "prompt": good | {"photo_id": "prompt", "prompt": '("a").blend(x)'},
        "template": good | {"photo_id": "template", "prompt_error": "prompt: the braces do not match"},
        "mask": good | {"photo_id": "mask", "mask": None},
    }
    rows = convert(Converter(recipe), [bad["prompt"], good, bad["template"], bad["mask"]])
    assert rows["good"]["picture"]
    errors = {name: rows[name]["failure"]["error"] for name in bad}
    assert errors == {"prompt": "PromptError", "template": "PromptError", "mask": "ControlMapError"}
    assert rows["template"]["failure"]["message"] == "prompt: the braces do not match"
    assert {rows[name]["failure"]["stage"] for name in bad} == {"convert"}
    assert all(rows[name]["picture"] is None for name in bad)


def test_a_picture_that_nothing_mends_is_a_failure_with_what_was_tried(
    tiny: Path, decoded: Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny)
    subject = Converter(recipe)
    monkeypatch.setattr(subject._diffusion, "generate", lambda _asked: [GeneratedImage(None, 1, ("this", "that"))])
    row = convert(subject, [mapped_by(recipe, decoded)])["a/b c.jpg"]
    assert row["picture"] is None
    assert row["failure"]["error"] == "UnusableImageError"
    assert "this, that" in row["failure"]["message"]
    assert row["made_by"]["retried"] == "this, that"


@pytest.mark.parametrize(("policy", "error"), [("flag", None), ("drop", "UnsafeImageError")])
def test_what_the_checker_finds_is_flagged_or_dropped(
    tiny: Path, decoded: Row, policy: str, error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(tiny)
    subject = Converter(recipe)
    subject._recipe = recipe.model_copy(update={"safety": recipe.safety.model_copy(update={"policy": policy})})
    found = GeneratedImage(np.zeros((64, 64, 3), np.uint8), 1, (), nsfw=True)
    monkeypatch.setattr(subject._diffusion, "generate", lambda _asked: [found])
    row = convert(subject, [mapped_by(recipe, decoded)])["a/b c.jpg"]
    assert row["made_by"]["nsfw"] is True
    assert (row["failure"] and row["failure"]["error"]) == error
    assert (row["picture"] is None) == (policy == "drop")


def test_the_reference_that_an_ip_adapter_saw_is_told_by_its_digest(tiny: Path, tmp_path: Path, decoded: Row) -> None:
    def png(color: str) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (40, 40), color).save(file, "png")
        return file.getvalue()

    (tmp_path / "style.png").write_bytes(png("red"))
    adapter = write_ip_adapter(tiny / "base", tmp_path) | {"reference": str(tmp_path / "style.png")}
    recipe = tiny_recipe(tiny, ip_adapter=adapter)
    own = mapped_by(recipe, decoded | {"photo_id": "own"}) | {"reference_bytes": png("blue")}
    rows = convert(Converter(recipe), [own, mapped_by(recipe, decoded | {"photo_id": "the recipe's"})])
    seen = {name: row["made_by"]["reference_sha256"] for name, row in rows.items()}
    wanted = {"own": png("blue"), "the recipe's": png("red")}
    assert seen == {name: hashlib.sha256(content).hexdigest() for name, content in wanted.items()}
    assert rows["own"]["picture"] != rows["the recipe's"]["picture"]
    plain = tiny_recipe(tiny)
    (without,) = convert(Converter(plain), [mapped_by(plain, decoded)]).values()
    assert without["made_by"]["reference_sha256"] is None
