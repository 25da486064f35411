"""Control maps: each is detected once, maps of the manifest take precedence, and blank maps are recorded as blank."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import MissingMaskError, ModelError
from pipeline.images.arrays import Pixels
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
from schemas.row_parts import ControlMap, ProvidedFile
from schemas.work import Decoded, Failed, Mapped
from tests.conftest import recipe_of
from tests.rows import edit, failed_row_of, png

CANNY = recipe_of(CannySettings())


def unit_of(decoded: Decoded, photos: int, variants: int) -> list[Decoded]:
    """Return a unit of different photos, each in some variants."""
    rows = []
    for number in range(photos):
        photo = edit(decoded, source={"sha256": str(number) * 64}, pixels=np.roll(decoded.pixels, number * 10, axis=0))
        for variant in range(variants):
            planned = {"photo_id": f"p{number}", "variant": variant, "key": f"{number}{variant}" * 8}
            rows.append(edit(photo, planned=planned))
    return rows


def maps_of(row: Mapped | Failed) -> list[ControlMap]:
    assert isinstance(row, Mapped)
    assert all(row.maps)
    return [each for each in row.maps if each]


def only_map(maps: ControlMaps, row: Decoded) -> ControlMap:
    (mapped,) = maps.run([row])
    (control_map,) = maps_of(mapped)
    return control_map


def pixels_of(control_map: ControlMap) -> Pixels:
    assert control_map.pixels is not None
    return control_map.pixels


def cached(rows: list[Mapped | Failed]) -> list[list[bool | None]]:
    return [[each.cached for each in maps_of(row)] for row in rows]


def test_canny_is_detected_with_its_version_and_settings(decoded: Decoded) -> None:
    canny = only_map(ControlMaps(CANNY), decoded)
    assert (canny.detector, canny.origin, canny.device, canny.cached) == ("canny", "detected", "cpu", False)
    assert (canny.version or "").startswith("opencv-python-headless ")
    assert canny.settings == '{"high": 200.0, "low": 100.0}'
    assert 0.02 < (pixels_of(canny) > 0).mean() < 0.5


def test_missing_weights_give_a_blank_map(decoded: Decoded) -> None:
    openpose = only_map(ControlMaps(recipe_of(OpenposeSettings()), frozenset({"openpose"})), decoded)
    assert openpose.origin == "blank"
    assert not pixels_of(openpose).any()


def test_maps_are_in_the_order_of_the_recipe(decoded: Decoded) -> None:
    recipe = recipe_of(DepthSettings(), CannySettings(), OpenposeSettings())
    (row,) = ControlMaps(recipe, frozenset({"depth", "openpose"})).run([decoded])
    assert [each.detector for each in maps_of(row)] == ["depth", "canny", "openpose"]


def test_the_variants_of_a_photo_are_detected_once(decoded: Decoded, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, canny = [], cv2.Canny
    monkeypatch.setattr(cv2, "Canny", lambda *arguments: (calls.append(1), canny(*arguments))[1])
    mapped = ControlMaps(CANNY).run(unit_of(decoded, photos=3, variants=5))
    assert len(calls) == 3
    assert cached(mapped) == ([[False]] + [[True]] * 4) * 3
    digests = [maps_of(row)[0].sha256 for row in mapped]
    assert [len(set(digests[start : start + 5])) for start in (0, 5, 10)] == [1, 1, 1]
    assert len(set(digests)) == 3


def test_other_runs_and_recipes_read_maps_from_the_cache(decoded: Decoded, tmp_path: Path) -> None:
    first = recipe_of(CannySettings(), LineartSettings(style="standard"))
    other = recipe_of(ScribbleSettings(method="xdog"), CannySettings(), prompt="another")
    unit = unit_of(decoded, photos=2, variants=1)
    cold = ControlMaps(first, cache=str(tmp_path)).run(unit)
    warm = ControlMaps(first, cache=str(tmp_path)).run(unit)
    shared = ControlMaps(other, cache=str(tmp_path)).run(unit)
    assert (cached(cold), cached(warm)) == ([[False, False]] * 2, [[True, True]] * 2)
    assert cached(shared) == [[False, True]] * 2
    for before, after in zip(cold, warm, strict=True):
        assert [each.sha256 for each in maps_of(before)] == [each.sha256 for each in maps_of(after)]
    assert len(list(tmp_path.rglob("*.png"))) == 6


def test_deferred_maps_are_completed_by_another_process(decoded: Decoded) -> None:
    recipe = recipe_of(CannySettings(), ScribbleSettings(method="xdog"), TileSettings())
    unit = unit_of(decoded, photos=2, variants=2)
    deferred = ControlMaps(recipe, deferred=frozenset({"scribble"})).run(unit)
    assert isinstance(deferred[0], Mapped)
    assert [each and each.detector for each in deferred[0].maps] == ["canny", None, "tile"]
    for row, expected in zip(ControlMaps(recipe).complete(deferred), ControlMaps(recipe).run(unit), strict=True):
        assert [replace(each, pixels=None) for each in maps_of(row)] == [
            replace(each, pixels=None) for each in maps_of(expected)
        ]
        assert isinstance(row, Mapped)
        assert row.timing.seconds.controls


def test_a_failed_row_passes_unchanged(decoded: Decoded) -> None:
    failed = failed_row_of(decoded.planned)
    assert ControlMaps(CANNY).run([failed, decoded])[0] == failed
    assert ControlMaps(CANNY, device="cuda").complete([failed]) == [failed]


def test_a_provided_file_is_removed_when_its_map_exists(decoded: Decoded) -> None:
    file = ProvidedFile("canny", "https://host/canny.png?sig=1", png(np.zeros_like(decoded.pixels)))
    source = {"source_width": 64, "source_height": 64}
    (row,) = ControlMaps(CANNY).run([edit(decoded, provided=(file,), canvas=source)])
    assert [(each.origin, each.source_uri) for each in maps_of(row)] == [("manifest", "https://host/canny.png")]
    assert isinstance(row, Mapped)
    assert row.provided == ()


def test_the_photo_itself_is_not_detected(decoded: Decoded, tmp_path: Path) -> None:
    tile = only_map(ControlMaps(recipe_of(TileSettings()), cache=str(tmp_path)), decoded)
    assert tile.origin == "photo"
    assert (pixels_of(tile) == decoded.pixels).all()
    assert not list(tmp_path.iterdir())


def test_inpaint_shows_the_photo_except_for_its_mask(decoded: Decoded) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[10:20, 30:50] = 7  # a class
    inpaint = only_map(ControlMaps(recipe_of(InpaintSettings())), edit(decoded, canvas={"mask": png(mask)}))
    assert not pixels_of(inpaint)[10:20, 30:50].any()
    assert (pixels_of(inpaint)[mask == 0] == decoded.pixels[mask == 0]).all()
    (failed,) = ControlMaps(recipe_of(InpaintSettings())).run([decoded])
    assert isinstance(failed, Failed)
    assert failed.failure.code == MissingMaskError.code


@pytest.mark.parametrize(
    "error", [RuntimeError("no convergence"), ValueError("bad pixels"), cv2.error("assertion failed")]
)
def test_an_error_of_a_detector_fails_one_photo(
    decoded: Decoded, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    canny = cv2.Canny

    def fail_at_black(pixels: NDArray[np.uint8], *thresholds: float) -> NDArray[np.uint8]:
        if not pixels.any():
            raise error
        return canny(pixels, *thresholds)

    monkeypatch.setattr(cv2, "Canny", fail_at_black)
    first, second = unit_of(decoded, photos=2, variants=1)
    black, light = ControlMaps(CANNY).run([edit(first, pixels=np.zeros_like(first.pixels)), second])
    assert isinstance(black, Failed)
    assert black.failure.code == "control_map.detector_failed"
    assert black.failure.message == f"canny: {type(error).__name__}: {error}"
    assert maps_of(light)[0].origin == "detected"


def test_on_a_gpu_other_detectors_stay_on_the_cpu_and_share_its_cache(decoded: Decoded, tmp_path: Path) -> None:
    only_map(ControlMaps(CANNY, cache=str(tmp_path)), decoded)
    canny = only_map(ControlMaps(CANNY, cache=str(tmp_path), device="cuda"), decoded)
    assert (canny.device, canny.cached) == ("cpu", True)


def test_a_warm_cache_loads_no_network(
    decoded: Decoded, tmp_path: Path, weights_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(DepthSettings(weights=str(weights_of("depth"))))
    only_map(ControlMaps(recipe, cache=str(tmp_path)), decoded)
    monkeypatch.setattr("pipeline.steps.control_maps.load_detector", None)
    monkeypatch.setattr("pipeline.steps.control_maps.CPU", "not this device")  # so that the device counts as a GPU
    assert only_map(ControlMaps(recipe, cache=str(tmp_path)), decoded).cached


def test_invalid_weights_are_an_error_of_the_run(decoded: Decoded, tmp_path: Path) -> None:
    (tmp_path / "ControlNetHED.pth").write_bytes(b"not weights")
    broken = recipe_of(SoftedgeSettings(weights=str(tmp_path)))
    with pytest.raises(ModelError):
        ControlMaps(broken).run([decoded])


class TestBatches:
    """A network with random weights on the CPU, in batches as on a GPU."""

    @pytest.fixture
    def recipe(self, weights_of: Callable[[str], Path]) -> Recipe:
        return recipe_of(CannySettings(), DepthSettings(weights=str(weights_of("depth"))), batch_size=2)

    @pytest.fixture
    def batched(self, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> ControlMaps:
        """Return a step whose device does not count as a CPU, so that it detects maps in batches."""
        monkeypatch.setattr("pipeline.steps.control_maps.CPU", "not this device")
        return ControlMaps(recipe)

    def test_maps_are_equal_to_those_of_single_photos(
        self, recipe: Recipe, batched: ControlMaps, decoded: Decoded
    ) -> None:
        unit = unit_of(decoded, photos=3, variants=2)
        for row, expected in zip(batched.run(unit), ControlMaps(recipe).run(unit), strict=True):
            assert [each.sha256 for each in maps_of(row)] == [each.sha256 for each in maps_of(expected)]
            assert [each.cached for each in maps_of(row)] == [each.cached for each in maps_of(expected)]

    def test_an_error_in_a_batch_fails_one_photo(
        self, batched: ControlMaps, decoded: Decoded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pipeline.detectors.depth import Depth

        batch = Depth.batch

        def fail_at_black(self: Depth, photos: NDArray[np.uint8]) -> NDArray[np.uint8]:
            if not photos.any(axis=(1, 2, 3)).all():
                raise RuntimeError("a black photo")
            return batch(self, photos)

        monkeypatch.setattr(Depth, "batch", fail_at_black)
        rows = unit_of(decoded, photos=3, variants=1)
        rows[1] = edit(rows[1], pixels=np.zeros_like(rows[1].pixels))
        first, black, third = batched.run(rows)
        assert isinstance(first, Mapped)
        assert isinstance(third, Mapped)
        assert isinstance(black, Failed)
        assert black.failure.message == "depth: RuntimeError: a black photo"
