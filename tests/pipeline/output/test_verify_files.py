"""The comparison of files: samples, and files that are read once."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pipeline.output import run_file
from pipeline.output.file_content import RecordedFile, altered_files
from pipeline.output.repair import repair
from pipeline.output.run_file import RunMetadata
from pipeline.output.verify import verify
from schemas.recipe import Recipe
from schemas.work import Decoded
from tests.plans import write_records
from tests.rows import blank_map, encoded_row

ROWS = 40


@pytest.fixture
def output(tmp_path: Path, decoded: Decoded, recipe: Recipe) -> Path:
    """Write an output with 40 images and 120 control maps."""
    run = RunMetadata("run-1", recipe, "0.1.0", None)
    maps = [blank_map(settings.name) for settings in recipe.detectors]
    keys = [f"{number:02d}" * 32 for number in range(ROWS)]
    rows = [encoded_row(decoded, key.encode(), *maps, planned={"photo_id": key[:2], "key": key}) for key in keys]
    run_file.write_run_file(str(tmp_path), run, {"status": "finished"})
    write_records(tmp_path, run, rows, 16)
    return tmp_path


class CountedReads:
    """Records which files are read."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, output: str, batches: Iterable[list[RecordedFile]]) -> Iterator[RecordedFile]:
        for batch in batches:
            self.names += [file.name for file in batch]
            yield from altered_files(output, [batch])


def test_every_file_is_read_once(output: Path) -> None:
    reads = CountedReads()
    findings = verify(str(output), check_content=reads)
    assert findings.valid
    assert findings.files == findings.checked == len(reads.names) == len(set(reads.names)) == 4 * ROWS


def test_a_sample_is_always_the_same_and_part_of_a_larger_one(output: Path) -> None:
    reads = [CountedReads() for _ in range(4)]
    for share, read in zip((0.2, 0.2, 0.5, 0.07 / 100), reads, strict=True):
        findings = verify(str(output), sample=share, check_content=read)
        assert findings.valid
        assert findings.checked == len(read.names)
    assert 0 < len(reads[0].names) < len(reads[2].names) < 4 * ROWS
    assert set(reads[0].names) == set(reads[1].names) < set(reads[2].names)


def test_only_files_of_the_sample_are_found_to_be_altered(output: Path) -> None:
    read = CountedReads()
    verify(str(output), sample=0.2, check_content=read)
    for path in output.glob("*/*/*.png"):
        path.write_bytes(b"altered")
    assert len(verify(str(output), sample=0.2).altered) == len(read.names)
    assert not verify(str(output), sample=0).altered


def test_names_are_compared_without_a_sample(output: Path) -> None:
    next(output.glob("images/*/*.png")).unlink()
    (output / "masks").mkdir()
    (output / "masks" / "stray.png").write_bytes(b"stray")
    findings = verify(str(output), sample=0)
    assert findings.checked == 0
    assert (len(findings.missing), list(findings.orphaned_files)) == (1, ["masks/stray.png"])


@pytest.fixture
def precious(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a file outside of the output."""
    path = tmp_path_factory.mktemp("outside") / "photos" / "precious.jpg"
    path.parent.mkdir()
    path.write_bytes(b"precious")
    return path


@pytest.mark.parametrize("place", ["images/{unit}/link", "images/{unit}/deeper/link", "images/link", "masks/link"])
def test_repair_removes_a_link_and_keeps_what_it_points_to(output: Path, precious: Path, place: str) -> None:
    unit = next(output.glob("images/*")).name
    images = sorted(output.glob("images/*/*.png"))
    for number, target in enumerate([precious.parent, precious, output / "images" / unit, output / "none"]):
        link = output / f"{place.format(unit=unit)}{number}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    findings = verify(str(output))
    assert [Path(name).name for name in sorted(findings.orphaned_files)] == [f"link{number}" for number in range(4)]
    repair(str(output), findings)
    assert precious.read_bytes() == b"precious"
    assert sorted(output.glob("images/*/*.png")) == images
    assert verify(str(output)).valid


def test_images_may_be_on_another_disk(output: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = output / "images"
    moved = tmp_path_factory.mktemp("disk") / "moved"
    folder.rename(moved)
    folder.symlink_to(moved)
    assert verify(str(output)).valid
    next(moved.rglob("*.png")).write_bytes(b"altered")
    assert len(verify(str(output)).altered) == 1


def test_repair_deletes_a_file_whose_name_is_not_unicode(output: Path) -> None:
    stray = os.fsencode(next(output.glob("images/*"))) + b"/stray-\xff.png"
    Path(os.fsdecode(stray)).write_bytes(b"stray")
    findings = verify(str(output))
    assert [line.isprintable() for line in findings.orphaned.first(9)] == [True]
    repair(str(output), findings)
    assert not os.path.exists(stray)  # noqa: PTH110 - a name of bytes
    assert verify(str(output)).valid
