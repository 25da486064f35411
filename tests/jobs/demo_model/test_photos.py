"""Photos to train on: named, fetched once, and none of them kept for evaluation."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.demo_model import photos
from pipeline.errors import StorageError


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a package of two photos, one of them small."""
    monkeypatch.setattr(photos, "NAMES", ("examples/a.png", "html/b.jpg"))
    for name, size in (("examples/a.png", (300, 200)), ("html/b.jpg", (90, 80))):
        path = tmp_path / photos.PACKAGE / photos.ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size[::-1], 3), 80, np.uint8)).save(path)
    return tmp_path


def test_what_is_kept_for_evaluation_is_not_among_them() -> None:
    assert len(photos.NAMES) == len(set(photos.NAMES)) > 60
    assert not [name for name in photos.NAMES if name.startswith("examples/data/")]


def test_an_unpacked_package_is_not_fetched_again(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    root = photos.fetch_photos(unpacked)
    (large,) = photos.load_photos(root, 160)  # 90 x 80 would be blown up to twice its size
    assert large.shape == (160, 240, 3)


def test_without_debian_it_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StorageError, match="apt-get is not on this machine.*Train on Debian"):
        photos.fetch_photos(tmp_path)


def test_another_package_is_refused(unpacked: Path) -> None:
    (unpacked / photos.PACKAGE / photos.ROOT / "html" / "b.jpg").unlink()
    with pytest.raises(StorageError, match="1 of 2 photos are not in it, html/b.jpg"):
        photos.fetch_photos(unpacked)


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.defpath}")
    with pytest.raises(StorageError, match="apt-get download opencv-doc failed: E: Unable to locate package") as caught:
        photos.fetch_photos(tmp_path / "work")
    assert "\n" not in str(caught.value)


def test_a_package_is_unpacked_where_it_is_looked_for(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetch a package that really is one, built here, through a program that stands for the network."""
    built = tmp_path / "built"
    (built / "DEBIAN").mkdir(parents=True)
    control = "Package: opencv-doc\nVersion: 4.6.0\nArchitecture: all\nMaintainer: nobody\nDescription: photos\n"
    (built / "DEBIAN" / "control").write_text(control)
    (unpacked / photos.PACKAGE / "usr").rename(built / "usr")
    package = tmp_path / "opencv-doc_4.6.0_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(built), str(package)], check=True, capture_output=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apt-get").write_text(f"#!/bin/sh\ncp {package} .\n")
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    assert len(photos.load_photos(photos.fetch_photos(tmp_path / "work"), 80)) == 2
