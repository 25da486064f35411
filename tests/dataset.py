"""A manifest and an output that tests change, convert and check."""

import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import RunStoppedError
from pipeline.output import plan_store
from pipeline.output.current_rows import current_rows
from pipeline.output.verify import verify
from pipeline.run import Summary
from schemas.detectors import CannySettings
from schemas.options import Options
from schemas.recipe import Recipe
from tests.conftest import recipe_of
from tests.local_run import convert_locally
from tests.records import read_records
from tests.test_flow import files_of
from tests.test_flow_sequences import Interruption

RECIPE = recipe_of(CannySettings(), mode="maps")


class Dataset:
    """A manifest of photos, and an output.

    Args:
        folder: The folder of both.
        photos: The folder of photos.
    """

    def __init__(self, folder: Path, photos: Path) -> None:
        self.photos, self.manifest, self.output = photos, str(folder / "m.parquet"), str(folder / "out")
        self.uris = {f"p{number}": f"p{number:03d}.jpg" for number in range(6)}

    def write_manifest(self) -> None:
        # The content of the photos does not change, so that a changed photo has another address.
        rows = [{"photo_id": name, "uri": str(self.photos / uri)} for name, uri in self.uris.items()]
        storage.put_table(self.manifest, pa.Table.from_pylist(rows))

    def convert(self, recipe: Recipe = RECIPE, **options: Any) -> Summary:
        self.write_manifest()
        return convert_locally(self.manifest, self.output, recipe, Options.model_validate(options))

    def interrupt(self, rows: int, recipe: Recipe = RECIPE, **options: Any) -> None:
        """Convert the manifest until a number of rows are finished."""
        self.write_manifest()
        settings = Options.model_validate({"unit_size": 2, **options})
        with suppress(RunStoppedError):
            convert_locally(self.manifest, self.output, recipe, settings, Interruption(rows))

    def lose_plan(self) -> None:
        shutil.rmtree(Path(self.output) / "_plan")

    def current(self) -> dict[tuple[str, int], tuple[str, str | None]]:
        """Return the status and the address of the photo of each current row."""
        rows = current_rows(self.output, 1000)
        assert set(Counter((row.photo_id, row.variant) for row in rows).values()) <= {1}
        return {(row.photo_id, row.variant): (row.status, row.source_uri) for row in rows}

    def results(self) -> dict[str, tuple[int, int]]:
        """Return the times of the records and the control maps."""
        return {name: state for name, state in files_of(self.output).items() if "/maps/" in name or "/prov" in name}

    def check(self, recipe: Recipe = RECIPE, **options: Any) -> None:
        """Check that the output is complete."""
        findings = verify(self.output)
        kinds = (findings.missing, findings.duplicate, findings.orphaned, findings.altered)
        assert findings.valid, [kind.first(5) for kind in kinds]
        assert set(Counter(row["key"] for row in read_records(self.output)).values()) == {1}
        before = files_of(self.output)
        again = self.convert(recipe, **options)
        assert (again.converted, again.failed) == (0, 0)
        assert files_of(self.output) == before

    def plan_rows(self) -> list[dict[str, Any]]:
        """Return the rows of all plans, sorted by key."""
        plans = plan_store.read_plans(self.output)
        rows = [
            row for each in plans for name in each.files for row in storage.read_table(f"{each.uri}/{name}").to_pylist()
        ]
        return sorted(rows, key=lambda row: str(row["key"]))
