"""An output may have any name: one that a query would read as a column, or as a pattern of other names."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.output import run_file
from pipeline.output.current_rows import count_rows
from pipeline.output.query import open_query
from pipeline.output.run_file import RunMetadata
from pipeline.output.verify import verify
from schemas.recipe import Recipe
from schemas.work import Decoded
from tests.plans import write_records
from tests.rows import blank_map, encoded_row, failed_row_of

COLUMNS = ["status=done", "seed=5", "variant=9", "photo_id=z", "unit=u", "key=1"]
PATTERNS = ["out*", "out?", "out[1]", "**"]


@pytest.fixture(params=["file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty folder."""
    if request.param == "file":
        yield str(tmp_path)
        return
    yield "memory://names"
    for name in storage.files("memory://names"):
        storage.remove(f"memory://names/{name}")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*COLUMNS, *PATTERNS])
def test_only_the_records_of_the_output_are_read(name: str, root: str, decoded: Decoded, recipe: Recipe) -> None:
    run, keys = RunMetadata("run-1", recipe, "0.1.0", None), itertools.count()
    maps = [blank_map(settings.name) for settings in recipe.detectors]
    for output in (f"{root}/out1", f"{root}/{name}"):
        ids = [f"p{next(keys)}" for _ in range(3)]
        rows = [
            encoded_row(decoded, b"image", *maps, planned={"photo_id": photo, "key": photo[1:] * 64}) for photo in ids
        ]
        run_file.write_run_file(output, run, {"status": "finished"})
        write_records(output, run, [*rows[:2], failed_row_of(rows[2].planned)], 2)
    counts = count_rows(output, 9)
    assert (counts.done, counts.failed) == (2, 1)
    assert [row.photo_id for row in (*counts.first_done, *counts.first_failed)] == ids
    findings = verify(output)
    assert findings.valid
    assert findings.rows == 3
    with open_query(output, "SELECT photo_id, seed, variant, status FROM provenance ORDER BY photo_id") as query:
        expected = [(photo, "7", "0", status) for photo, status in zip(ids, ["done", "done", "failed"], strict=True)]
        assert [tuple(row.values()) for row in query.head(9).to_pylist()] == expected
    with open_query(output, "SELECT count(*) FROM plan") as query:
        assert query.head(1).to_pylist()[0]["count_star()"] == "3"
