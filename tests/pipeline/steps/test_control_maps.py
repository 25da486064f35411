"""Control maps: the photo's own pixels, drawn once, the manifest's truth before a guess, and blanks that are named."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import ControlMapError, ModelError
from pipeline.steps.control_maps import ControlMaps
from schemas.detectors import (
    CannySettings,
    DepthSettings,
    InpaintSettings,
    LineartSettings,
    OpenposeSettings,
    ScribbleSettings,
    SoftedgeSettings,
    TileSettings,
)
from schemas.recipe import Recipe
from schemas.work import DECODED, Row
from tests.conftest import recipe_of

CANNY = recipe_of(CannySettings())


def pixels_of(drawn: Row, side: int = 64) -> NDArray[np.uint8]:
    return np.frombuffer(drawn["pixels"], np.uint8).reshape(side, side, 3)


def png(pixels: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def unit_of(decoded: Row, photos: int, variants: int) -> pa.Table:
    """Return a unit of different photos, each in some variants."""
    rows = []
    for number in range(photos):
        turned = decoded["pixels"][number * 640 :] + decoded["pixels"][: number * 640]
        photo = decoded | {"photo_id": f"p{number}", "source_sha256": str(number) * 64, "pixels": turned}
        rows += [photo | {"variant": variant, "key": f"{number}{variant}" * 8} for variant in range(variants)]
    return pa.Table.from_pylist(rows, DECODED)


def cached(table: pa.Table) -> list[list[bool | None]]:
    return [[each["cached"] for each in row["maps"]] for row in table.to_pylist()]


def test_canny_is_detected_with_its_version_and_settings(decoded: Row) -> None:
    (drawn,) = ControlMaps(CANNY).draw(decoded)["maps"]
    assert (drawn["detector"], drawn["origin"], drawn["device"], drawn["cached"]) == ("canny", "detected", "cpu", False)
    assert drawn["version"].startswith("opencv-python-headless ")
    assert drawn["settings"] == '{"high": 200.0, "low": 100.0}'
    assert 0.02 < (pixels_of(drawn) > 0).mean() < 0.5


def test_missing_weights_draw_black_and_say_so(decoded: Row) -> None:
    (drawn,) = ControlMaps(recipe_of(OpenposeSettings()), frozenset({"openpose"})).draw(decoded)["maps"]
    assert drawn["origin"] == "blank"
    assert not pixels_of(drawn).any()


def test_maps_come_in_the_recipes_order(decoded: Row) -> None:
    wanted = recipe_of(DepthSettings(), CannySettings(), OpenposeSettings())
    drawn = ControlMaps(wanted, frozenset({"depth", "openpose"})).draw(decoded)["maps"]
    assert [each["detector"] for each in drawn] == ["depth", "canny", "openpose"]


def test_the_variants_of_a_photo_detect_once(decoded: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, canny = [], cv2.Canny
    monkeypatch.setattr(cv2, "Canny", lambda *given: (calls.append(1), canny(*given))[1])
    mapped = ControlMaps(CANNY)(unit_of(decoded, photos=3, variants=5))
    assert len(calls) == 3
    assert cached(mapped) == ([[False]] + [[True]] * 4) * 3
    maps = [row["maps"][0]["sha256"] for row in mapped.to_pylist()]
    assert [len(set(maps[start : start + 5])) for start in (0, 5, 10)] == [1, 1, 1]
    assert len(set(maps)) == 3


def test_another_run_and_another_recipe_take_maps_from_the_cache(decoded: Row, tmp_path: Path) -> None:
    first = recipe_of(CannySettings(), LineartSettings(style="standard"))
    other = recipe_of(ScribbleSettings(method="xdog"), CannySettings(), prompt="another")
    unit = unit_of(decoded, photos=2, variants=1)
    cold = ControlMaps(first, cache=str(tmp_path))(unit)
    warm = ControlMaps(first, cache=str(tmp_path))(unit)
    shared = ControlMaps(other, cache=str(tmp_path))(unit)
    assert (cached(cold), cached(warm)) == ([[False, False]] * 2, [[True, True]] * 2)
    assert cached(shared) == [[False, True]] * 2
    for before, after in zip(cold.to_pylist(), warm.to_pylist(), strict=True):
        assert [each["sha256"] for each in before["maps"]] == [each["sha256"] for each in after["maps"]]
    assert len(list(tmp_path.rglob("*.png"))) == 6


def test_what_another_process_draws_is_left_to_it_and_found_there(decoded: Row) -> None:
    recipe = recipe_of(CannySettings(), ScribbleSettings(method="xdog"), TileSettings())
    here = ControlMaps(recipe, left=frozenset({"scribble"}))(unit_of(decoded, photos=2, variants=2))
    assert [each and each["detector"] for each in here.to_pylist()[0]["maps"]] == ["canny", None, "tile"]
    there = ControlMaps(recipe)(here).to_pylist()
    whole = ControlMaps(recipe)(unit_of(decoded, photos=2, variants=2)).to_pylist()
    for row, expected in zip(there, whole, strict=True):
        assert row["maps"] == expected["maps"]
        assert row["seconds"]["controls"] > 0


def test_the_photo_itself_is_no_detection(decoded: Row, tmp_path: Path) -> None:
    (drawn,) = ControlMaps(recipe_of(TileSettings()), cache=str(tmp_path)).draw(decoded)["maps"]
    assert (drawn["origin"], drawn["pixels"]) == ("photo", decoded["pixels"])
    assert not list(tmp_path.iterdir())


def test_inpaint_shows_the_photo_but_for_what_the_mask_covers(decoded: Row) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20, 30:50] = 7  # a class
    (drawn,) = ControlMaps(recipe_of(InpaintSettings())).draw(decoded | {"mask": png(mask)})["maps"]
    before = np.frombuffer(decoded["pixels"], np.uint8).reshape(64, 64, 3)
    assert not pixels_of(drawn)[10:20, 30:50].any()
    assert (pixels_of(drawn)[mask == 0] == before[mask == 0]).all()
    with pytest.raises(ControlMapError, match="no mask_uri"):
        ControlMaps(recipe_of(InpaintSettings())).draw(decoded)


@pytest.mark.parametrize(
    "error", [RuntimeError("no convergence"), ValueError("bad pixels"), cv2.error("assertion failed")]
)
def test_a_detector_that_fails_over_one_photo_is_a_fault_of_that_photo(
    decoded: Row, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    canny = cv2.Canny

    def fail_at_dark(pixels: NDArray[np.uint8], *thresholds: float) -> NDArray[np.uint8]:
        if not pixels.any():
            raise error
        return canny(pixels, *thresholds)

    monkeypatch.setattr(cv2, "Canny", fail_at_dark)
    rows = unit_of(decoded, photos=2, variants=1).to_pylist()
    rows[0]["pixels"] = bytes(len(rows[0]["pixels"]))
    dark, light = ControlMaps(CANNY)(pa.Table.from_pylist(rows, DECODED)).to_pylist()
    assert dark["failure"]["error"] == "ControlMapError"
    assert dark["failure"]["message"] == f"canny: {type(error).__name__}: {error}"
    assert light["failure"] is None
    assert light["maps"][0]["origin"] == "detected"


def test_on_a_gpu_the_others_stay_on_the_cpu_and_share_its_cache(decoded: Row, tmp_path: Path) -> None:
    unit = unit_of(decoded, photos=1, variants=1)
    ControlMaps(CANNY, cache=str(tmp_path))(unit)
    (row,) = ControlMaps(CANNY, cache=str(tmp_path), device="cuda")(unit).to_pylist()
    assert (row["maps"][0]["device"], row["maps"][0]["cached"]) == ("cpu", True)


def test_a_warm_cache_needs_no_network(
    decoded: Row, tmp_path: Path, weights_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(DepthSettings(weights=str(weights_of("depth"))))
    unit = unit_of(decoded, photos=1, variants=1)
    ControlMaps(recipe, cache=str(tmp_path))(unit)
    monkeypatch.setattr("pipeline.steps.control_maps.load_detector", None)
    monkeypatch.setattr("pipeline.steps.control_maps.CPU", "nothing")  # a GPU's way
    assert cached(ControlMaps(recipe, cache=str(tmp_path))(unit)) == [[True]]


def test_weights_that_do_not_load_are_no_photos_fault(decoded: Row, tmp_path: Path) -> None:
    (tmp_path / "ControlNetHED.pth").write_bytes(b"no weights")
    broken = recipe_of(SoftedgeSettings(weights=str(tmp_path)))
    with pytest.raises(ModelError, match="no file of weights"):
        ControlMaps(broken)(unit_of(decoded, photos=1, variants=1))


class TestInBatches:
    """A GPU's way, on the CPU: a network of random weights takes the photos of a unit together."""

    @pytest.fixture
    def recipe(self, weights_of: Callable[[str], Path]) -> Recipe:
        return recipe_of(CannySettings(), DepthSettings(weights=str(weights_of("depth"))), batch_size=2)

    @pytest.fixture
    def in_batches(self, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> ControlMaps:
        """Return what a GPU actor has, but for the GPU: its device is another name for the CPU."""
        monkeypatch.setattr("pipeline.steps.control_maps.CPU", "nothing")
        return ControlMaps(recipe)

    def test_maps_are_those_of_one_at_a_time(self, recipe: Recipe, in_batches: ControlMaps, decoded: Row) -> None:
        unit = unit_of(decoded, photos=3, variants=2)
        together, alone = in_batches(unit).to_pylist(), ControlMaps(recipe)(unit).to_pylist()
        for row, expected in zip(together, alone, strict=True):
            assert [each["sha256"] for each in row["maps"]] == [each["sha256"] for each in expected["maps"]]
            assert [each["cached"] for each in row["maps"]] == [each["cached"] for each in expected["maps"]]

    def test_a_batch_that_fails_fails_for_the_bad_photo_alone(
        self, in_batches: ControlMaps, decoded: Row, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pipeline.detectors.depth import Depth

        batch = Depth.batch

        def fail_at_dark(self: Depth, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
            if not photos.any(axis=(1, 2, 3)).all():
                message = "a dark one"
                raise RuntimeError(message)
            return batch(self, photos)

        monkeypatch.setattr(Depth, "batch", fail_at_dark)
        rows = unit_of(decoded, photos=3, variants=1).to_pylist()
        rows[1]["pixels"] = bytes(len(rows[1]["pixels"]))
        found = in_batches(pa.Table.from_pylist(rows, DECODED)).to_pylist()
        assert [bool(row["failure"]) for row in found] == [False, True, False]
        assert found[1]["failure"]["message"] == "depth: RuntimeError: a dark one"
