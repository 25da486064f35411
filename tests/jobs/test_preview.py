"""photo2anime preview: it writes a contact sheet, reports failures, uses the cache of control maps, and avoids Ray."""

import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from jobs.app import app
from jobs.contact_sheet import GAP, LINE
from pipeline.errors import FileMissingError
from tests.conftest import TINY

TINY_SET = [part for setting in TINY for part in ("--set", setting)]
pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_sheet_has_a_row_of_tiles_for_each_photo(photos: Path, tmp_path: Path) -> None:
    cache, out = tmp_path / "cache", tmp_path / "sheet.png"
    arguments = [str(photos / "p000.jpg"), str(photos / "p001.jpg")]
    command = ["preview", *arguments, "--recipe", "demo", "-o", str(out), "--map-cache", str(cache), *TINY_SET]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert f"2 of 2 photos: {out}" in done.stdout
    assert any("photo2anime.preview" in line and "depth" in line for line in done.stderr.splitlines())
    with Image.open(out) as sheet:
        assert sheet.width > 4 * 64
        assert 2 * 64 < sheet.height < 4 * 64
    assert len(list(cache.rglob("*.png"))) == 2


def test_the_option_convert_adds_one_tile_to_each_row(photos: Path, tmp_path: Path) -> None:
    widths = []
    for options in ([], ["--convert"]):
        out = tmp_path / "sheet.png"
        arguments = [str(photos / "p002.jpg"), "--recipe", "demo", "-o", str(out), *options, *TINY_SET]
        assert CliRunner().invoke(app, ["preview", *arguments]).exit_code == 0
        with Image.open(out) as sheet:
            widths.append(sheet.width)
    assert widths[1] - widths[0] == widths[0] // 4


def test_an_upscaled_image_is_larger_than_its_photo(photos: Path, tmp_path: Path) -> None:
    out, upscale = tmp_path / "sheet.png", "upscale={net: {name: builtin:demo/controlnet-canny}, tile: 64, overlap: 16}"
    arguments = [str(photos / "p002.jpg"), "--recipe", "demo", "-o", str(out), "--convert", *TINY_SET]
    done = CliRunner().invoke(app, ["preview", *arguments, "--set", "steps=3", "--set", upscale])
    assert done.exit_code == 0, done.output
    with Image.open(out) as sheet:
        assert sheet.size == (4 * (64 + GAP) + 128 + GAP, 128 + LINE + GAP)


def test_a_photo_that_cannot_be_read_is_reported_and_the_others_are_shown(photos: Path, tmp_path: Path) -> None:
    arguments = [str(photos / "p000.jpg"), "/none\x1b[2J.jpg", "http://key:secret@127.0.0.1:1/photo.jpg?sig=secret"]
    done = CliRunner().invoke(
        app, ["preview", *arguments, "--recipe", "demo", "-o", str(tmp_path / "sheet.png"), *TINY_SET]
    )
    assert done.exit_code == 3
    assert any(line.startswith(f"/none\\x1b[2J.jpg: {FileMissingError.code}: ") for line in done.stdout.splitlines())
    assert "1 of 3 photos" in done.stdout
    assert "secret" not in done.output
    assert (tmp_path / "sheet.png").is_file()


@pytest.mark.slow
def test_ray_is_not_imported(photos: Path, tmp_path: Path) -> None:
    import subprocess

    command = ["preview", str(photos / "p000.jpg"), "--recipe", "demo", "-o", str(tmp_path / "s.png"), *TINY_SET]
    code = f"import sys; sys.argv = ['photo2anime', *{command!r}]\nfrom jobs.app import app\ntry:\n    app()\nfinally:\n    print('ray' in sys.modules)"  # noqa: E501 - one line of code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
