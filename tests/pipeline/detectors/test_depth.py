"""The depth detector, with tiny networks and random weights."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import pipeline
from transformers.modeling_outputs import DepthEstimatorOutput

from pipeline.detectors.depth import Depth
from pipeline.detectors.depth_map import depth_to_map
from schemas.detectors import DepthSettings
from tests.pipeline.detectors.controlnet_aux_maps import photo
from tests.pipeline.detectors.depth_networks import write_dpt, write_zoe

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


class GreenChannel(torch.nn.Module):
    """A network that predicts the green channel of its input, to test whether the processor moves pixels."""

    def forward(self, pixel_values: torch.Tensor) -> DepthEstimatorOutput:
        return DepthEstimatorOutput(predicted_depth=pixel_values[:, 1])


def transformers_map(folder: Path, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the control map of the depth that the pipeline of transformers predicts."""
    estimate = pipeline("depth-estimation", model=str(folder), device=torch.device("cpu"))
    return depth_to_map(np.asarray(estimate(Image.fromarray(pixels))["predicted_depth"], np.float32))


def test_map_is_close_to_the_depth_of_transformers_and_uses_the_full_range(weights_of: Callable[[str], Path]) -> None:
    folder, pixels = weights_of("depth"), photo(97)[:65]
    control_map = Depth(DepthSettings(), folder, "cpu")(pixels)
    assert (control_map.shape, control_map.dtype) == ((65, 97, 3), np.uint8)
    assert (control_map.min(), control_map.max()) == (0, 255)
    assert (control_map[..., 0] == control_map[..., 2]).all()
    assert np.abs(control_map.astype(int) - transformers_map(folder, pixels)).mean() < 3


@pytest.mark.parametrize(("write", "side"), [(write_dpt, 70), (write_zoe, 64)])
def test_map_is_close_to_the_depth_of_transformers_for_processors_that_pad(
    tmp_path: Path, write: Callable[[Path], None], side: int
) -> None:
    write(tmp_path)
    control_map = Depth(DepthSettings(), tmp_path, "cpu")(photo(side))
    assert control_map.std() > 10
    assert np.abs(control_map.astype(int) - transformers_map(tmp_path, photo(side))).mean() < 3


@pytest.mark.parametrize("write", [write_dpt, partial(write_dpt, side=116), write_zoe])
@pytest.mark.parametrize("size", [(128, 128), (65, 97)])
def test_processors_that_pad_do_not_move_pixels(
    tmp_path: Path, write: Callable[[Path], None], size: tuple[int, int]
) -> None:
    write(tmp_path)
    depth = Depth(DepthSettings(), tmp_path, "cpu")
    depth.network = GreenChannel()
    pixels = cv2.GaussianBlur(photo(128), (0, 0), 3)[: size[0], : size[1]]
    expected = depth_to_map(pixels[..., 1].astype(np.float32))
    assert np.abs(depth(pixels).astype(int) - expected).mean() < 1


@pytest.mark.parametrize("write", [write_dpt, write_zoe])
def test_the_map_of_an_image_of_one_pixel_has_one_pixel(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    assert Depth(DepthSettings(), tmp_path, "cpu")(photo(1)).shape == (1, 1, 3)


def test_invert_reverses_the_depth(weights_of: Callable[[str], Path]) -> None:
    near = Depth(DepthSettings(), weights_of("depth"), "cpu")(photo(56))
    far = Depth(DepthSettings(invert=True), weights_of("depth"), "cpu")(photo(56))
    assert np.abs(near.astype(int) + far - 255).max() <= 1


def test_maps_of_a_batch_equal_maps_of_single_images(weights_of: Callable[[str], Path]) -> None:
    depth = Depth(DepthSettings(), weights_of("depth"), "cpu")
    photos = np.stack([photo(64), photo(64)[::-1]])
    assert (depth.batch(photos) == np.stack([depth(each) for each in photos])).all()
