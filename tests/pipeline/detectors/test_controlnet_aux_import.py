"""controlnet_aux can be imported in an environment that has mediapipe 1.x."""

import subprocess
import sys

import pytest

# Import both packages in either order. An import cannot be undone, so each order has its own process. The processes are
# forked from a parent that has imported the slow dependencies already.
CODE = """
import os, sys
import matplotlib.pyplot, timm, torchvision
CONTROLNET_AUX = "from pipeline.detectors.controlnet_aux_import import controlnet_aux"
MEDIAPIPE = "import mediapipe.tasks.python.vision"
for order in ((CONTROLNET_AUX, MEDIAPIPE), (MEDIAPIPE, CONTROLNET_AUX)):
    if os.fork() == 0:
        assert "mediapipe" not in sys.modules and "controlnet_aux" not in sys.modules
        for statement in order:
            exec(statement)
        print(bool(controlnet_aux.HEDdetector), sys.modules["mediapipe"].__name__, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.slow
def test_controlnet_aux_and_mediapipe_can_be_imported_in_either_order() -> None:
    process = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert process.stdout.split() == ["True", "mediapipe"] * 2, process.stderr
