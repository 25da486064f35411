"""Segmentation: each pixel in its class's colour of ADE20K's palette, classes found at the picture's own size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import SegformerForSemanticSegmentation

from jobs.bench.synthetic_detectors import write_seg
from pipeline.detectors.seg import PALETTE, Seg
from pipeline.errors import ModelError
from schemas.detectors import SegSettings
from tests.pipeline.detectors.bare import photo

pytestmark = pytest.mark.filterwarnings("ignore")


def test_colours_are_those_of_transformers_own_classes(weights_of: Callable[[str], Path]) -> None:
    ours = Seg(SegSettings(), weights_of("seg"), "cpu")
    pixels = photo(96)[:64]
    drawn = ours(pixels)
    with torch.inference_mode():
        outputs = ours.network(**ours._processor(images=pixels, return_tensors="pt"))
    (classes,) = ours._processor.post_process_semantic_segmentation(outputs, target_sizes=[(64, 96)])
    assert (drawn == PALETTE[classes.numpy()]).all()
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 1


def test_the_palette_is_that_of_ade20k() -> None:
    assert PALETTE.shape == (150, 3)
    assert PALETTE[[0, 2, 12]].tolist() == [[120, 120, 120], [6, 230, 230], [150, 5, 61]]  # wall, sky, person


def test_a_model_of_other_classes_is_refused(tmp_path: Path) -> None:
    write_seg(tmp_path, classes=171)
    with pytest.raises(ModelError, match="knows 171 classes, ADE20K's palette 150"):
        Seg(SegSettings(weights="org/coco-stuff"), tmp_path, "cpu")


def test_weights_of_half_precision_draw_on_a_cpu(tmp_path: Path) -> None:
    write_seg(tmp_path)
    SegformerForSemanticSegmentation.from_pretrained(tmp_path, dtype=torch.float16).save_pretrained(tmp_path)
    ours = Seg(SegSettings(), tmp_path, "cpu")
    assert len(np.unique(ours(photo(64)).reshape(-1, 3), axis=0)) > 1


def test_weights_without_a_classifier_are_refused(tmp_path: Path) -> None:
    write_seg(tmp_path)
    encoder = SegformerForSemanticSegmentation.from_pretrained(tmp_path).segformer
    state = {f"segformer.{name}": tensor for name, tensor in encoder.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="weights are missing, decode_head"):
        Seg(SegSettings(), tmp_path, "cpu")
