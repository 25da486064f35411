"""The address of an output for the tests of its lease."""

import os
from pathlib import Path

import pytest


@pytest.fixture(params=["local", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a new output in a local folder, and in a bucket."""
    if request.param == "local":
        return str(tmp_path / "deep" / "out")
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}/{os.getpid()}"
