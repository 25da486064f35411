"""The detector seg: semantic segmentation in the colours of ADE20K."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import SegformerForSemanticSegmentation

from pipeline.detectors.seg import PALETTE, Seg
from pipeline.errors import ModelError, ModelMismatchError
from schemas.detectors import SegSettings
from tests.pipeline.detectors.controlnet_aux_maps import photo
from tests.tiny_detectors import write_seg

pytestmark = pytest.mark.filterwarnings("ignore")


def test_each_pixel_has_the_colour_of_the_class_that_transformers_finds(weights_of: Callable[[str], Path]) -> None:
    detector = Seg(SegSettings(), weights_of("seg"), "cpu")
    pixels = photo(96)[:64]
    control_map = detector(pixels)
    with torch.inference_mode():
        outputs = detector.network(**detector._processor(images=pixels, return_tensors="pt"))
    (classes,) = detector._processor.post_process_semantic_segmentation(outputs, target_sizes=[(64, 96)])
    assert (control_map == PALETTE[classes.numpy()]).all()
    assert len(np.unique(control_map.reshape(-1, 3), axis=0)) > 1


def test_palette_has_the_colours_of_ade20k() -> None:
    assert PALETTE.shape == (150, 3)
    assert PALETTE[[0, 2, 12]].tolist() == [[120, 120, 120], [6, 230, 230], [150, 5, 61]]  # wall, sky, person


def test_model_with_too_many_classes_is_an_error(tmp_path: Path) -> None:
    write_seg(tmp_path, classes=171)
    with pytest.raises(ModelMismatchError, match="org/coco-stuff.*171.*150"):
        Seg(SegSettings(weights="org/coco-stuff"), tmp_path, "cpu")


def test_half_precision_weights_run_on_a_cpu(tmp_path: Path) -> None:
    write_seg(tmp_path)
    SegformerForSemanticSegmentation.from_pretrained(tmp_path, dtype=torch.float16).save_pretrained(tmp_path)
    control_map = Seg(SegSettings(), tmp_path, "cpu")(photo(64))
    assert len(np.unique(control_map.reshape(-1, 3), axis=0)) > 1


def test_weights_without_a_classifier_are_an_error(tmp_path: Path) -> None:
    write_seg(tmp_path)
    encoder = SegformerForSemanticSegmentation.from_pretrained(tmp_path).segformer
    state = {f"segformer.{name}": tensor for name, tensor in encoder.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="decode_head"):
        Seg(SegSettings(), tmp_path, "cpu")
