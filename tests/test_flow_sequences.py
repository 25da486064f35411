"""Random sequences of changes, interruptions, runs at once and repairs end with one correct row for each image."""

import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import storage
from pipeline.errors import RunStoppedError
from pipeline.execution.progress import RunProgress
from pipeline.output.current_rows import current_rows
from pipeline.output.repair import repair
from pipeline.output.verify import verify
from schemas.detectors import CannySettings
from schemas.options import Options
from tests.conftest import recipe_of
from tests.local_run import convert_locally

pytestmark = pytest.mark.slow
MISSING = "/none/photo.jpg"
RECIPE = recipe_of(CannySettings(), mode="maps")
SCHEMA = pa.schema([("photo_id", pa.string()), ("uri", pa.string()), ("etag", pa.string())])


class Interruption(RunProgress):
    """Ends a run after a number of rows."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    def advance(self, done: int, failed: int) -> None:
        if done + failed >= self._rows:
            raise RunStoppedError("interrupted")


class OtherRun(RunProgress):
    """Calls a function after a number of rows, which runs on the same output at once."""

    def __init__(self, rows: int, run: Callable[[], None]) -> None:
        self._rows = rows
        self._runs = [run]

    def advance(self, done: int, failed: int) -> None:
        if done + failed >= self._rows and self._runs:
            self._runs.pop()()


class Sequence:
    """The runs of one sequence, on one output.

    Args:
        seed: Decides all changes and options.
        folder: The folder of the manifest and the output.
        photos: The photos that rows may have.
    """

    def __init__(self, seed: int, folder: Path, photos: list[str]) -> None:
        self.random, self.photos = random.Random(seed), photos  # noqa: S311 - not for cryptography
        self.manifest, self.output = str(folder / "m.parquet"), str(folder / "out")
        self.uris = {"p00": photos[0]}
        self.variants = 1

    def change_manifest(self) -> None:
        """Add, replace and remove up to four photos. Some of the new ones do not exist."""
        for _ in range(self.random.randint(0, 4)):
            name = f"p{self.random.randint(0, 9):02d}"
            self.uris[name] = self.random.choice([*self.photos, MISSING])
            removed = self.random.choice(sorted(self.uris))
            if self.random.random() < 0.4 and len(self.uris) > 1:
                del self.uris[removed]
        self.variants = self.random.choice([self.variants, 1, 2])
        rows = [{"photo_id": name, "uri": uri, "etag": uri} for name, uri in sorted(self.uris.items())]
        storage.put_table(self.manifest, pa.Table.from_pylist(rows, SCHEMA))

    def run(self) -> None:
        """Convert the manifest, and repair the output from time to time."""
        self.convert(others=2)
        if self.random.choice([True, False, False, False]):
            repair(self.output, verify(self.output))

    def lose_plans(self) -> None:
        """Delete all plans, or one index, so that the next run recovers the rows of the records."""
        folder = Path(self.output) / "_plan"
        indexes = sorted(folder.glob("*.parquet"))
        if self.random.choice([True, False]):
            shutil.rmtree(folder)
        else:
            self.random.choice(indexes).unlink()

    def convert(self, others: int) -> None:
        """Convert the manifest with random options. The run may be interrupted, or other runs may run at once."""
        options = Options(
            variants=self.variants,
            unit_size=self.random.choice([None, 1, 2, 3, 5]),
            retry_failed=self.random.choice([True, False]),
            removed_photos=self.random.choice(["keep", "drop"]),
        )
        rows = self.random.randint(0, 6)
        other = OtherRun(rows, lambda: self.convert(others - 1)) if others else None
        with suppress(RunStoppedError):
            progress = self.random.choice([Interruption(max(rows, 1)), other, None])
            convert_locally(self.manifest, self.output, RECIPE, options, progress)

    def finish(self) -> None:
        """Convert the manifest completely."""
        convert_locally(self.manifest, self.output, RECIPE, Options(variants=self.variants, removed_photos="drop"))


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_image_of_the_last_manifest_is_made_once(seed: int, lost: bool, photos: Path, tmp_path: Path) -> None:  # noqa: FBT001
    sequence = Sequence(seed, tmp_path, [str(photos / f"p{number:03d}.jpg") for number in range(4)])
    for _ in range(6):
        sequence.change_manifest()
        sequence.run()
        if lost:
            sequence.lose_plans()
    sequence.finish()
    assert verify(sequence.output).valid
    rows = current_rows(sequence.output, 1000)
    assert set(Counter((row.photo_id, row.variant) for row in rows).values()) == {1}
    found = {(row.photo_id, row.variant): row.source_uri if row.status == "done" else MISSING for row in rows}
    wanted = {(name, variant): uri for name, uri in sequence.uris.items() for variant in range(sequence.variants)}
    assert {place: found.get(place) for place in wanted} == wanted
    assert all(uri != MISSING for place, uri in found.items() if place not in wanted)
    again = convert_locally(sequence.manifest, sequence.output, RECIPE, Options(variants=sequence.variants))
    assert (again.converted, again.failed) == (0, 0)
