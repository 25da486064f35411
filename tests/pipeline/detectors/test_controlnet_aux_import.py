"""controlnet_aux beside mediapipe 1.x: both can be used, in either order."""

import subprocess
import sys

import pytest

FIRST = "from pipeline.detectors.controlnet_aux_import import controlnet_aux"
OTHER = "import mediapipe.tasks.python.vision"


@pytest.mark.parametrize("order", [(FIRST, OTHER), (OTHER, FIRST)])
def test_neither_keeps_the_other_from_its_work(order: tuple[str, str]) -> None:
    code = "; ".join(
        [*order, "import sys", "print(bool(controlnet_aux.HEDdetector), sys.modules['mediapipe'].__name__)"]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "mediapipe"], done.stderr
