"""The photos that the demo model is trained on: samples in Debian's `opencv-doc`, fetched when training."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.errors import StorageError
from pipeline.images.arrays import Pixels

PACKAGE = "opencv-doc"
ROOT = "usr/share/doc/opencv-doc"
# Photos below ROOT, chosen by eye: no diagrams, and nothing that is also seen in examples/data, kept for evaluation.
NAMES = tuple(Path(__file__).with_name("photos.txt").read_text().split())


def fetch_photos(folder: Path) -> Path:
    """Return the package's documentation below `folder`, downloading and unpacking the package if it is not there.

    Raises `StorageError` where there is no Debian to fetch from, or the package has not the photos any more.
    """
    root = folder / PACKAGE / ROOT
    if not root.is_dir():
        _fetch(folder)
    missing = [name for name in NAMES if not (root / name).is_file()]
    if missing:
        message = f"{root}: {len(missing)} of {len(NAMES)} photos are not in it, {missing[0]} for one"
        raise StorageError(message, f"Use the package {PACKAGE} of Debian 12.")
    return root


def _fetch(folder: Path) -> None:
    """Download the package, and unpack it whole or not at all."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            message = f"{program} is not on this machine: it fetches the photos to train on"
            raise StorageError(message, f"Train on Debian, or unpack {PACKAGE} of Debian 12 into {folder / PACKAGE}.")
    folder.mkdir(parents=True, exist_ok=True)
    _call(["apt-get", "download", PACKAGE], folder)
    partial = folder / f"{PACKAGE}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    _call(["dpkg-deb", "-x", next(folder.glob(f"{PACKAGE}_*.deb")).name, partial.name], folder)
    partial.rename(folder / PACKAGE)


def load_photos(root: Path, side: int) -> list[Pixels]:
    """Return the photos at a shorter side of `side` pixels; smaller ones are left out."""
    photos = []
    for name in NAMES:
        with Image.open(root / name) as opened:
            if min(opened.size) >= side * 0.8:
                scale = side / min(opened.size)
                size = (round(opened.width * scale), round(opened.height * scale))
                photos.append(np.asarray(opened.convert("RGB").resize(size, Image.Resampling.LANCZOS)))
    return photos


def _call(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)  # noqa: S603  # our own words
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("W:")]
        message = f"{' '.join(command)} failed: {said[-1] if said else f'exit code {done.returncode}'}"
        raise StorageError(message, "Mend the machine's package lists (apt-get update), or fetch the package by hand.")
