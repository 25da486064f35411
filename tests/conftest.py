"""Fixtures that tests share: real photos, small recipes, tiny models, an S3 server and one Ray."""

import functools
import gc
import os
import secrets
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

gc.disable()  # until the tests are collected, because the imports create millions of objects and release none

# Set before the project is imported, so that tests neither use the caches of the user nor wait for a hub.
_CACHE = tempfile.TemporaryDirectory(prefix="p2a-tests-")
os.environ["PHOTO2ANIME_CACHE"] = f"{_CACHE.name}/models"
os.environ["HF_HOME"] = f"{_CACHE.name}/hub"
os.environ["HF_HUB_OFFLINE"] = "1"
# All test processes share one Ray (tests/ray_head.py). Ray reads these when it is imported, and xdist workers inherit
# them.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)  # the machine may be busy
hypothesis.settings.load_profile("tests")

from pipeline.recipes.load import load_recipe  # noqa: E402 - after the environment
from schemas.detectors import Settings  # noqa: E402 - likewise
from schemas.recipe import Recipe  # noqa: E402 - likewise
from schemas.work import Decoded  # noqa: E402 - likewise
from tests import ray_head  # noqa: E402 - likewise
from tests.rows import decoded_row  # noqa: E402 - likewise

ROOT = Path(__file__).parent.parent
LANDMARKER = ROOT.parent / "shared" / "models" / "pose_landmarker_full.task"
TINY = ("area=4096", "steps=2", "batch_size=2")  # images of 64x64 pixels, in milliseconds


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of scikit-image's photos."""
    return Path(str(files("skimage").joinpath("data")))


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Return the demo recipe for images of 64x64 pixels."""
    return load_recipe("demo", TINY)


def recipe_of(*detectors: Settings, **changes: Any) -> Recipe:
    """Return the demo recipe with these detectors, each with the canny ControlNet, for images of 64x64 pixels."""
    demo = load_recipe("demo", TINY).model_dump()
    controls = [demo["controls"][0] | {"detector": settings.model_dump()} for settings in detectors]
    return Recipe.model_validate(demo | {"controls": controls} | changes)


@pytest.fixture(scope="session")
def photos(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 12 different crops of real photos, in three sizes."""
    folder = tmp_path_factory.mktemp("photos")
    write_crops(data, folder, 12)
    return folder


def write_crops(data: Path, folder: Path, count: int) -> None:
    """Write wide, high and square JPEG crops of real photos."""
    whole = [
        Image.open(data / name).convert("RGB") for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
    ]
    for number in range(count):
        photo = whole[number % len(whole)]
        width, height = ((160, 120), (120, 160), (128, 128))[number % 3]
        left, top = (number * 7) % (photo.width - width), (number * 5) % (photo.height - height)
        photo.crop((left, top, left + width, top + height)).save(folder / f"p{number:03d}.jpg", quality=92)


@pytest.fixture
def decoded(data: Path) -> Decoded:
    """Return the row of the astronaut, 512x512, decoded to 64x64."""
    photo = Image.open(data / "astronaut.png").convert("RGB")
    return decoded_row(np.asarray(photo.resize((64, 64))), photo.size)


@pytest.fixture(scope="session")
def weights_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns the folder of a detector's weights. They are random, and written at first use.

    The weights of mediapipe are the published ones in ../shared. A test that uses them is skipped if they are missing.
    """
    from tests.pipeline.detectors.onnx_networks import write_rtmpose
    from tests.tiny_detectors import write_weights

    parent = tmp_path_factory.mktemp("weights")

    @functools.cache
    def folder_of(detector: str) -> Path:
        if detector == "mediapipe":
            if not LANDMARKER.is_file():
                pytest.skip(f"needs ../shared/models/{LANDMARKER.name}")
            return LANDMARKER.parent
        write = write_rtmpose if detector == "rtmpose" else partial(write_weights, detector)
        write(parent / detector)
        return parent / detector

    return folder_of


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return by family, `sd` and `sdxl`, the folder of a tiny base and three ControlNets."""
    from tests import tiny  # imported here because torch takes seconds

    folders = {name: tmp_path_factory.mktemp(name) for name in ("sd", "sdxl")}
    tiny.write_sd(folders["sd"] / "base")
    tiny.write_sdxl(folders["sdxl"] / "base")
    for folder in folders.values():
        for number in range(3):
            tiny.write_net(folder / "base", folder / f"net-{number}", seed=number)
    return folders


@pytest.fixture(scope="session")
def sd(families: dict[str, Path]) -> Path:
    """Return the folder of the tiny models of Stable Diffusion 1.5."""
    return families["sd"]


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """Serve S3 on a free port of this machine, with one empty bucket; return the bucket's address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    import fsspec

    fsspec.filesystem("s3").mkdir("photos")
    yield "s3://photos"
    server.stop()


@pytest.fixture
def hang_up_not_ignored() -> Iterator[None]:
    """Let the programs that a test starts receive SIGHUP, which nohup ignores for all of them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def without_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove the credentials of Amazon S3 and Azure from the environment of a test."""
    import s3fs

    names = [name for name in os.environ if name.startswith(("AWS_", "AZURE_"))]
    for name in names:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def ray_lock(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[FileLock]:
    """Connect to the one Ray of the test session; return the lock to hold while a test uses it.

    Two runs at once could wait for each other's processes, and for one GPU.
    """
    import ray

    single = worker_id == "master"  # no pytest-xdist
    folder = tmp_path_factory.getbasetemp() if single else tmp_path_factory.getbasetemp().parent
    with FileLock(folder / "ray.starting"):
        address = ray_head.start(os.getpid() if single else os.getppid(), folder)
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    yield FileLock(folder / "ray.used")
    ray.shutdown()


@pytest.fixture
def ray_session(ray_lock: FileLock) -> Iterator[None]:
    """Connect to the Ray of the test session, and use it alone; it has a GPU by name, see `tests.ray_head`."""
    with ray_lock:
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first, those with the longest limit before others, so that all processes are busy to the end."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, -_limit(item)))


def pytest_collection_finish() -> None:
    """Collect garbage from now on, but only that of the tests, because the imported objects take half a second."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let the process collect all objects when it ends, because libraries report those that are left."""
    gc.unfreeze()


def _limit(item: pytest.Item) -> float:
    """Return the limit of a test in seconds, or 0 for the limit of pyproject.toml."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0
