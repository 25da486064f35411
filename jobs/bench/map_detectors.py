"""What is timed of detectors: ours, and the bare library call over the same network and pixels."""

import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from jobs.bench.synthetic_detectors import write_depth_small, write_weights
from jobs.bench.timing import TimedRow, side_by_side
from pipeline.detectors.base import load_detector
from pipeline.detectors.inpaint import mask_out
from pipeline.images.arrays import Pixels
from schemas.detectors import (
    CannySettings,
    DepthSettings,
    DetectorSettings,
    InpaintSettings,
    LineartAnimeSettings,
    LineartSettings,
    MediapipeSettings,
    NetworkSettings,
    NormalSettings,
    OpenposeSettings,
    RtmposeSettings,
    ScribbleSettings,
    SegSettings,
    SoftedgeSettings,
    TileSettings,
)

MOST = 1.1  # of the bare call, for canny, tile and inpaint
TIMED: tuple[DetectorSettings, ...] = (
    CannySettings(), TileSettings(blur=8), InpaintSettings(), LineartSettings(style="standard"),
    ScribbleSettings(method="xdog"), SoftedgeSettings(), SoftedgeSettings(method="pidi"), ScribbleSettings(),
    LineartSettings(), LineartAnimeSettings(), NormalSettings(), DepthSettings(), SegSettings(), OpenposeSettings(),
    MediapipeSettings(), RtmposeSettings(),
)  # fmt: skip
GIVEN_ALONE = frozenset({"mediapipe", "rtmpose"})  # their networks are no PyTorch that random weights could be put in

Call = Callable[[Pixels], object]


def detector_rows(sides: list[int], weights: dict[str, Path], only: list[str], rounds: int) -> Iterator[TimedRow]:
    """Yield each detector beside the bare call, at each of `sides`.

    `weights` are folders by detector; without one a network has random weights. `only` names detectors; none: all.
    """
    cv2.setNumThreads(1)  # as in a run's processes
    with tempfile.TemporaryDirectory() as home:
        for settings in TIMED:
            if only and settings.name not in only:
                continue
            folder = weights.get(settings.name) or _random(settings, Path(home) / settings.name)
            if folder is not None:
                yield from _rows_of(settings, folder, sides, rounds)


def _rows_of(settings: DetectorSettings, folder: Path, sides: list[int], rounds: int) -> Iterator[TimedRow]:
    if isinstance(settings, NetworkSettings):
        settings = settings.model_copy(update={"weights": str(folder)})
    detector = load_detector(settings)
    what, ours, bare = _calls(settings, detector)
    most = MOST if settings.name in {"canny", "tile", "inpaint"} else None
    method = getattr(settings, "method", getattr(settings, "style", ""))
    for side in sides:
        pixels = _photo(side)
        timing = side_by_side(lambda pixels=pixels: ours(pixels), lambda pixels=pixels: bare(pixels), rounds)  # type: ignore[misc]  # bound at once
        yield TimedRow(f"{settings.name} {method}".strip() + f", {side}", what, timing, at_most=most)


def _random(settings: DetectorSettings, folder: Path) -> Path | None:
    """Write random weights where a detector needs some and a folder of them can be made."""
    if settings.name in GIVEN_ALONE:
        return None
    if isinstance(settings, NetworkSettings) and settings.files and not folder.exists():
        write_weights(settings.name, folder)
        if settings.name == "depth":
            write_depth_small(folder)
    return folder


def _calls(settings: DetectorSettings, detector: Any) -> tuple[str, Call, Call]:  # noqa: ANN401 - any of the classes
    """Return what the bare call is, ours, and the bare one."""
    ours: Call = detector
    match settings:
        case CannySettings():
            what, bare = "cv2.Canny", _canny(settings)
        case TileSettings():
            what, bare = "cv2.blur", _blur(settings)
        case InpaintSettings():
            what, ours, bare = "NumPy's where", _taken_out, _blackened
        case DepthSettings():
            what, bare = "transformers' pipeline", _depth_pipeline(Path(settings.weights))
        case SegSettings():
            what, bare = "transformers' classes", _classes(detector)
        case MediapipeSettings():
            what, bare = "PoseLandmarker.detect", _landmarks(detector)
        case RtmposeSettings():
            what, bare = "YOLOX and RTMPose", _boxes_and_poses(detector)
        case ScribbleSettings(method="xdog"):
            what, bare = "two cv2.GaussianBlur", _two_blurs
        case _:
            what, bare = "controlnet_aux", _annotator(settings, detector)
    return what, ours, bare


def _canny(settings: CannySettings) -> Call:
    return lambda pixels: cv2.Canny(pixels, settings.low, settings.high)


def _blur(settings: TileSettings) -> Call:
    return lambda pixels: cv2.blur(pixels, (settings.blur, settings.blur))


def _boxes_and_poses(detector: Any) -> Call:  # noqa: ANN401 - Rtmpose
    finder, poser = detector._finder, detector._posed  # noqa: SLF001 - the same networks
    finder.det_mode = "human"
    return lambda pixels: poser(pixels, bboxes=finder(pixels))


def _annotator(settings: DetectorSettings, detector: Any) -> Call:  # noqa: ANN401 - any of the classes
    """Return controlnet_aux's own call over our network; PiDiNet, HED and the others have a class each."""
    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    more: dict[str, Any] = {}
    match settings:
        case SoftedgeSettings():
            kind = controlnet_aux.HEDdetector if settings.method == "hed" else controlnet_aux.PidiNetDetector
            bare = kind(detector.network)
        case ScribbleSettings():
            bare, more = controlnet_aux.HEDdetector(detector._edges.network), {"scribble": True}  # noqa: SLF001 - the same network
        case LineartSettings(style="standard"):
            standard = controlnet_aux.lineart_standard.LineartStandardDetector()
            return lambda pixels: standard(pixels, detect_resolution=pixels.shape[0], output_type="np")
        case LineartSettings():
            bare = controlnet_aux.LineartDetector(*[detector._network.network] * 2)  # noqa: SLF001 - likewise
        case LineartAnimeSettings():
            bare = controlnet_aux.LineartAnimeDetector(detector.network)
        case NormalSettings():
            bare = controlnet_aux.NormalBaeDetector(detector.network)
        case _:
            bare, more = detector._detector, {"include_hand": False, "include_face": False}  # noqa: SLF001 - likewise
    return lambda pixels: bare(
        pixels, detect_resolution=pixels.shape[0], image_resolution=pixels.shape[0], output_type="np", **more
    )


def _depth_pipeline(folder: Path) -> Call:
    from transformers import pipeline

    estimate = pipeline("depth-estimation", model=str(folder), device="cpu")
    return lambda pixels: estimate(Image.fromarray(pixels))


def _classes(detector: Any) -> Call:  # noqa: ANN401 - Seg
    import torch

    @torch.inference_mode()
    def classes(pixels: Pixels) -> object:
        inputs = detector._processor(images=pixels, return_tensors="pt")  # noqa: SLF001 - the same network
        sizes = [pixels.shape[:2]]
        return detector._processor.post_process_semantic_segmentation(detector.network(**inputs), target_sizes=sizes)  # noqa: SLF001 - likewise

    return classes


def _landmarks(detector: Any) -> Call:  # noqa: ANN401 - Mediapipe
    import mediapipe as mp

    landmarker = detector._landmarker  # noqa: SLF001 - the same network
    return lambda pixels: landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=pixels))


def _two_blurs(pixels: Pixels) -> None:
    for width in (0.5, 5.0):
        cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), width)


def _covered(pixels: Pixels) -> Any:  # noqa: ANN401 - [H, W], bool
    covered = np.zeros(pixels.shape[:2], np.bool_)
    covered[pixels.shape[0] // 4 : pixels.shape[0] // 2] = True
    return covered


def _taken_out(pixels: Pixels) -> Pixels:
    return mask_out(pixels, _covered(pixels))


def _blackened(pixels: Pixels) -> object:
    return np.where(_covered(pixels)[:, :, None], np.uint8(0), pixels)


def _photo(side: int) -> Pixels:
    with Image.open(str(files("skimage").joinpath("data", "astronaut.png"))) as image:
        return np.array(image.convert("RGB").resize((side, side)))
