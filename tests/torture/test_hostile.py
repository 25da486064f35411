"""Hostile manifests, recipes and images become results, failures or errors of one line, and nothing else."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import storage
from pipeline.errors import RunError, RunStoppedError
from pipeline.output.verify import verify
from pipeline.recipes.load import load_recipe
from schemas.detectors import CannySettings
from schemas.options import Options
from tests.conftest import recipe_of
from tests.local_run import convert_locally
from tests.records import read_records
from tests.torture.lines import Line, line, tries

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(3600)]
RECIPE = recipe_of(CannySettings(), mode="maps")
OPTIONS = Options(fetch_timeout=10, connect_timeout=1)
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "",
        "..",
        "../../x",
        "/etc/passwd",
        "a\0b",
        "\ud7ff",
        "https://[",
        "file:///etc/passwd",
        "x" * 300,
        "{",
        "%s",
        "s3://",
    ]
)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.just(0)
VALUES = TEXTS | NUMBERS | st.none() | st.booleans() | st.binary(max_size=8) | st.lists(NUMBERS, max_size=4)
COLUMNS = ["photo_id", "uri", "width", "height", "bytes", "etag", "canny_uri", "mask_uri", "prompt", "boxes", "other"]
KEYS = ["mode", "area", "steps", "seed", "strength", "prompt", "controls", "base", "fit", "scheduler", "x"]
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
SETTINGS = st.dictionaries(st.sampled_from(KEYS), TREES, max_size=4)


def refused(error: RunError) -> bool:
    """Return whether an error is one line, and was raised before the work began."""
    return "\n" not in str(error) and not isinstance(error, RunStoppedError)


def repeat(number: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Call a function with a number of examples, the same ones each time."""

    @seed(1)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def call(example: Any) -> None:
        check(example)

    call()


@st.composite
def manifests(draw: st.DrawFn, photo: str) -> dict[str, list[Any]]:
    """Return the columns of a manifest: unique ids, addresses of which some are those of a photo, and any others."""
    rows = draw(st.integers(1, 4))
    columns: dict[str, list[Any]] = {
        "photo_id": draw(st.lists(TEXTS, min_size=rows, max_size=rows, unique=True)),
        "uri": draw(st.lists(TEXTS | st.just(photo), min_size=rows, max_size=rows)),
    }
    for name in draw(st.lists(st.sampled_from(COLUMNS), max_size=3)):
        kind = draw(st.sampled_from([TEXTS, st.integers(0, 99), st.floats(), st.booleans(), VALUES]))
        columns[name] = draw(st.lists(kind | st.none(), min_size=rows, max_size=rows))
    return columns


def test_hostile_manifests(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(photo)
    runs = []

    def check(added: Line, columns: dict[str, list[Any]]) -> None:
        added.tries += 1
        folder = tmp_path / str(added.tries)
        folder.mkdir()
        try:
            table = pa.table({name: pa.array(values) for name, values in columns.items()})
            pq.write_table(table, folder / "m.parquet")
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return  # not a table
        try:
            convert_locally(str(folder / "m.parquet"), str(folder / "out"), RECIPE, OPTIONS)
        except RunError as error:
            added.lost += not refused(error) or (folder / "out").exists()
            return
        recorded = read_records(folder / "out")
        runs.append(recorded)
        added.lost += abs(len(recorded) - table.num_rows)
        added.lost += not verify(str(folder / "out")).valid
        assert {path.name for path in folder.iterdir()} == {"m.parquet", "out"}

    with line("hostile manifests") as added:
        repeat(tries(200, 15), manifests(str(photo)), partial(check, added))
        added.note = f"{len(runs)} runs"
        assert len(runs) > added.tries / 10
        assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"a.png"}


def test_hostile_recipes(tmp_path: Path) -> None:
    def check(added: Line, content: Any) -> None:
        added.tries += 1
        path = tmp_path / "recipe.yaml"
        text = content if isinstance(content, bytes) else repr(content).encode()
        path.write_bytes(text)
        try:
            load_recipe(str(path))
        except RunError as error:
            added.lost += not refused(error)

    with line("hostile recipes") as added:
        repeat(tries(500, 40), SETTINGS | st.binary(max_size=200), partial(check, added))


def test_hostile_images(tmp_path: Path) -> None:
    def image(kind: str) -> bytes:
        buffer = io.BytesIO()
        Image.effect_noise((40, 30), 80).convert("RGB").save(buffer, kind)
        return buffer.getvalue()

    contents = {kind: image(kind) for kind in ("png", "jpeg", "gif", "webp", "tiff", "bmp", "avif")}
    damage = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)
    images = st.tuples(st.sampled_from(sorted(contents)), damage, st.floats(0, 1))

    def damaged(kind: str, changes: list[tuple[float, int]], end: float) -> bytes:
        content = bytearray(contents[kind])
        for place, value in changes:
            content[int(place * len(content))] = value
        return bytes(content[: max(1, int((1 - end**8) * len(content)))])

    def check(added: Line, examples: list[tuple[str, list[tuple[float, int]], float]]) -> None:
        folder = tmp_path / str(added.tries)
        added.tries += len(examples)
        for number, example in enumerate(examples):
            storage.put(str(folder / "in" / f"{number}.{example[0]}"), damaged(*example))
        summary = convert_locally(str(folder / "in"), str(folder / "out"), RECIPE, OPTIONS)
        added.lost += abs(summary.converted + summary.failed - len(examples))
        added.lost += not verify(str(folder / "out")).valid

    with line("hostile images") as added:
        repeat(tries(30, 2), st.lists(images, min_size=10, max_size=10), partial(check, added))
