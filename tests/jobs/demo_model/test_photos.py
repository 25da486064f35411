"""Download the training photos."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.demo_model import photos
from pipeline.errors import StorageError, StorageNotFoundError


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an unpacked package of two photos, one of them small."""
    monkeypatch.setattr(photos, "PHOTO_FILES", ("examples/a.png", "html/b.jpg"))
    for name, size in (("examples/a.png", (300, 200)), ("html/b.jpg", (90, 80))):
        path = tmp_path / photos.PACKAGE / photos.ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size[::-1], 3), 80, np.uint8)).save(path)
    return tmp_path


def test_training_photos_exclude_the_photos_of_the_evaluation() -> None:
    assert len(photos.PHOTO_FILES) == len(set(photos.PHOTO_FILES)) > 60
    assert not [name for name in photos.PHOTO_FILES if name.startswith("examples/data/")]


def test_unpacked_package_is_not_downloaded_again(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    root = photos.fetch_photos(unpacked)
    (large,) = photos.load_photos(root, 160)  # 90 x 80 is left out, because it would be enlarged to twice its size
    assert large.shape == (160, 240, 3)


def test_machine_without_apt_raises_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StorageError, match="apt-get"):
        photos.fetch_photos(tmp_path)


def test_package_without_a_photo_raises_an_error(unpacked: Path) -> None:
    (unpacked / photos.PACKAGE / photos.ROOT / "html" / "b.jpg").unlink()
    with pytest.raises(StorageNotFoundError, match="html/b.jpg"):
        photos.fetch_photos(unpacked)


def test_failed_download_reports_the_last_line_of_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.defpath}")
    with pytest.raises(StorageError, match="E: Unable to locate package") as caught:
        photos.fetch_photos(tmp_path / "work")
    assert "\n" not in str(caught.value)


def test_package_is_downloaded_and_unpacked(unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build a Debian package, and replace the download by a copy of it."""
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
