"""Time detectors. The baseline is a plain library call on the same pixels, with the same network if there is one."""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jobs.bench.synthetic_detectors import write_depth_small, write_weights
from jobs.bench.timing import TimedRow, compare
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

MAX_RATIO = 1.1  # of the time of canny, tile and inpaint to that of the baseline
TIMED: tuple[DetectorSettings, ...] = (
    CannySettings(), TileSettings(blur=8), InpaintSettings(), LineartSettings(style="standard"),
    ScribbleSettings(method="xdog"), SoftedgeSettings(), SoftedgeSettings(method="pidi"), ScribbleSettings(),
    LineartSettings(), LineartAnimeSettings(), NormalSettings(), DepthSettings(), SegSettings(), OpenposeSettings(),
    MediapipeSettings(), RtmposeSettings(),
)  # fmt: skip
REAL_WEIGHTS_ONLY = frozenset({"mediapipe", "rtmpose"})  # not PyTorch: random weights cannot be written

Call = Callable[[Pixels], object]


def detector_rows(sides: list[int], weights: dict[str, Path], only: list[str], rounds: int) -> Iterator[TimedRow]:
    """Time detectors and their baselines.

    Args:
        sides: The sides of the square photos, in pixels.
        weights: Folders of real weights by detector. Other networks have random weights. Without real weights, the
            detectors of `REAL_WEIGHTS_ONLY` are left out.
        only: The names of the detectors to time. An empty list selects all.
        rounds: The number of timings.
    """
    cv2.setNumThreads(1)  # as in the worker processes of a run
    with tempfile.TemporaryDirectory() as temporary:
        for settings in TIMED:
            if only and settings.name not in only:
                continue
            folder = weights.get(settings.name) or _random_weights(settings, Path(temporary) / settings.name)
            if folder is not None:
                yield from _rows_of(settings, folder, sides, rounds)


def _rows_of(settings: DetectorSettings, folder: Path, sides: list[int], rounds: int) -> Iterator[TimedRow]:
    if isinstance(settings, NetworkSettings):
        settings = settings.model_copy(update={"weights": str(folder)})
    baseline_name, call, baseline = _calls(settings, load_detector(settings))
    max_ratio = MAX_RATIO if settings.name in {"canny", "tile", "inpaint"} else None
    method = getattr(settings, "method", getattr(settings, "style", ""))
    for side in sides:
        photo = _photo(side)
        timing = compare(partial(call, photo), partial(baseline, photo), rounds)
        yield TimedRow(f"{settings.name} {method}".strip() + f", {side}", baseline_name, timing, max_ratio=max_ratio)


def _random_weights(settings: DetectorSettings, folder: Path) -> Path | None:
    """Write random weights if a detector needs any. Returns None if that is not possible."""
    if settings.name in REAL_WEIGHTS_ONLY:
        return None
    if isinstance(settings, NetworkSettings) and settings.files and not folder.exists():
        write_weights(settings.name, folder)
        if settings.name == "depth":
            write_depth_small(folder)
    return folder


def _calls(settings: DetectorSettings, detector: Any) -> tuple[str, Call, Call]:  # noqa: ANN401 - detector classes share no attributes
    """Return the name of the baseline, the call of photo2anime, and the call of the baseline."""
    call: Call = detector
    match settings:
        case CannySettings():
            name, baseline = "cv2.Canny", _canny(settings)
        case TileSettings():
            name, baseline = "cv2.blur", _blur(settings)
        case InpaintSettings():
            name, call, baseline = "numpy.where", _mask_out, _blacken
        case DepthSettings():
            name, baseline = "transformers pipeline", _depth_pipeline(Path(settings.weights))
        case SegSettings():
            name, baseline = "transformers model", _segmentation(detector)
        case MediapipeSettings():
            name, baseline = "PoseLandmarker.detect", _landmarks(detector)
        case RtmposeSettings():
            name, baseline = "YOLOX and RTMPose", _boxes_and_poses(detector)
        case ScribbleSettings(method="xdog"):
            name, baseline = "two cv2.GaussianBlur", _two_blurs
        case _:
            name, baseline = "controlnet_aux", _annotator(settings, detector)
    return name, call, baseline


def _canny(settings: CannySettings) -> Call:
    return lambda pixels: cv2.Canny(pixels, settings.low, settings.high)


def _blur(settings: TileSettings) -> Call:
    return lambda pixels: cv2.blur(pixels, (settings.blur, settings.blur))


def _boxes_and_poses(detector: Any) -> Call:  # noqa: ANN401 - rtmlib has no types
    person_model, pose_model = detector._person_model, detector._pose_model  # noqa: SLF001 - the baseline uses the same networks
    person_model.det_mode = "human"
    return lambda pixels: pose_model(pixels, bboxes=person_model(pixels))


def _annotator(settings: DetectorSettings, detector: Any) -> Call:  # noqa: ANN401 - controlnet_aux has no types
    """Return the call of the controlnet_aux class for a detector, over the same network if it has one."""
    from pipeline.detectors.controlnet_aux_import import controlnet_aux

    options: dict[str, Any] = {}
    match settings:
        case SoftedgeSettings():
            annotator_class = controlnet_aux.HEDdetector if settings.method == "hed" else controlnet_aux.PidiNetDetector
            annotator = annotator_class(detector.network)
        case ScribbleSettings():
            annotator, options = controlnet_aux.HEDdetector(detector._edges.network), {"scribble": True}  # noqa: SLF001 - the same network
        case LineartSettings(style="standard"):
            standard = controlnet_aux.lineart_standard.LineartStandardDetector()
            return lambda pixels: standard(pixels, detect_resolution=pixels.shape[0], output_type="np")
        case LineartSettings():
            annotator = controlnet_aux.LineartDetector(*[detector._network.network] * 2)  # noqa: SLF001 - likewise
        case LineartAnimeSettings():
            annotator = controlnet_aux.LineartAnimeDetector(detector.network)
        case NormalSettings():
            annotator = controlnet_aux.NormalBaeDetector(detector.network)
        case _:
            annotator, options = detector._detector, {"include_hand": False, "include_face": False}  # noqa: SLF001 - likewise
    return lambda pixels: annotator(
        pixels, detect_resolution=pixels.shape[0], image_resolution=pixels.shape[0], output_type="np", **options
    )


def _depth_pipeline(folder: Path) -> Call:
    from transformers import pipeline

    estimate = pipeline("depth-estimation", model=str(folder), device="cpu")
    return lambda pixels: estimate(Image.fromarray(pixels))


def _segmentation(detector: Any) -> Call:  # noqa: ANN401 - transformers is partly typed
    import torch

    processor = detector._processor  # noqa: SLF001 - the baseline uses the same processor

    @torch.inference_mode()
    def classes(pixels: Pixels) -> object:
        outputs = detector.network(**processor(images=pixels, return_tensors="pt"))
        return processor.post_process_semantic_segmentation(outputs, target_sizes=[pixels.shape[:2]])

    return classes


def _landmarks(detector: Any) -> Call:  # noqa: ANN401 - mediapipe has no types
    import mediapipe

    landmarker = detector._landmarker  # noqa: SLF001 - the baseline uses the same network
    return lambda pixels: landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels))


def _two_blurs(pixels: Pixels) -> None:
    for sigma in (0.5, 5.0):
        cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), sigma)


def _mask(pixels: Pixels) -> NDArray[np.bool_]:
    mask = np.zeros(pixels.shape[:2], np.bool_)
    mask[pixels.shape[0] // 4 : pixels.shape[0] // 2] = True
    return mask


def _mask_out(pixels: Pixels) -> Pixels:
    return mask_out(pixels, _mask(pixels))


def _blacken(pixels: Pixels) -> object:
    return np.where(_mask(pixels)[:, :, None], np.uint8(0), pixels)


def _photo(side: int) -> Pixels:
    with Image.open(str(files("skimage").joinpath("data", "astronaut.png"))) as image:
        return np.array(image.convert("RGB").resize((side, side)))
