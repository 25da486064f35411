"""Fetch the training photos of the demo model: samples of Debian's package `opencv-doc`."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import StorageError, StorageNotFoundError
from pipeline.images.arrays import Pixels

PACKAGE = "opencv-doc"
ROOT = "usr/share/doc/opencv-doc"
# Photos below ROOT, chosen by eye: no diagrams, and no photo of examples/data, which is reserved for evaluation.
PHOTO_FILES = tuple(Path(__file__).with_name("photos.txt").read_text().split())
SMALLEST_SHARE = 0.8  # photos below this share of the wanted side are left out, because they would be enlarged too much


def fetch_photos(folder: Path) -> Path:
    """Download and unpack the package below `folder`, unless it is present.

    Returns:
        The folder of the package's documentation.

    Raises:
        StorageError: The package cannot be downloaded, as on a machine without apt-get.
        StorageNotFoundError: The package does not contain all the photos.
    """
    root = folder / PACKAGE / ROOT
    if not root.is_dir():
        _download(folder)
    missing = [name for name in PHOTO_FILES if not (root / name).is_file()]
    if missing:
        raise StorageNotFoundError(
            f"{root}: {len(missing)} of {len(PHOTO_FILES)} photos are missing, such as {missing[0]}",
            f"Use the package {PACKAGE} of Debian 12.",
        )
    return root


def _download(folder: Path) -> None:
    """Download the package and unpack it, into a folder that is renamed when it is complete."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            hint = f"Train on Debian, or unpack {PACKAGE} of Debian 12 into {folder / PACKAGE}."
            raise StorageError(
                f"{PACKAGE}: the program {program}, which is needed for the training photos, is missing", hint
            )
    folder.mkdir(parents=True, exist_ok=True)
    _call(["apt-get", "download", PACKAGE], folder)
    partial = folder / f"{PACKAGE}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _call(["dpkg-deb", "-x", next(folder.glob(f"{PACKAGE}_*.deb")).name, partial.name], folder)
    partial.rename(folder / PACKAGE)


def load_photos(root: Path, side: int) -> list[Pixels]:
    """Decode the photos and scale their shorter sides to `side` pixels. Photos much smaller than that are left out."""
    photos = []
    for name in PHOTO_FILES:
        with Image.open(root / name) as opened:
            if min(opened.size) >= side * SMALLEST_SHARE:
                scale = side / min(opened.size)
                size = (round(opened.width * scale), round(opened.height * scale))
                photos.append(np.asarray(opened.convert("RGB").resize(size, Image.Resampling.LANCZOS)))
    return photos


def _call(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)  # noqa: S603  # constant programs
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("W:")]
        raise StorageError(
            f"{' '.join(command)}: {errors[-1] if errors else f'failed with exit code {done.returncode}'}",
            "Update the package lists (apt-get update), or download the package by hand.",
        )
