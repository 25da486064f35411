"""OpenPose: controlnet_aux's own network, of random weights, at the picture's own size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.faults import ModelFault
from schemas.detectors import OpenposeSettings

pytestmark = pytest.mark.filterwarnings("ignore")  # of controlnet_aux at its import


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from controlnet_aux.open_pose.model import bodypose_model

    folder = tmp_path_factory.mktemp("openpose")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # The published file names its tensors without the name of the block that the class puts them in.
        state = {name.partition(".")[2]: tensor for name, tensor in bodypose_model().state_dict().items()}
    torch.save(state, folder / "body_pose_model.pth")
    return folder


def test_the_map_has_the_pictures_size_and_the_model_is_named(weights: Path, data: Path) -> None:
    from pipeline.detectors.openpose import Openpose

    pixels = np.asarray(Image.open(data / "astronaut.png").convert("RGB").resize((97, 65)))
    before = pixels.copy()
    openpose = Openpose(OpenposeSettings(weights=str(weights)))
    drawn = openpose(pixels)
    assert (drawn.shape, drawn.dtype) == ((65, 97, 3), np.uint8)
    assert (openpose(pixels) == drawn).all()
    assert (pixels == before).all()
    assert openpose.version == "controlnet_aux 0.0.10"
    assert openpose.model["role"] == "openpose"
    assert len(openpose.model["sha256"]) == 64


def test_hands_need_their_file(weights: Path) -> None:
    from pipeline.detectors.openpose import Openpose

    with pytest.raises(ModelFault, match="hand_pose_model.pth not found"):
        Openpose(OpenposeSettings(weights=str(weights), hands=True))
