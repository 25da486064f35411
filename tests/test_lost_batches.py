"""Photos that end the process of a step, or for which a library raises an unknown error, become failures on Ray."""

import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline import storage
from pipeline.errors import ModelError, WorkersFailedError
from pipeline.execution import isolation, lost_batches, pools, stage_log
from pipeline.execution.progress import RunProgress
from pipeline.output.provenance import done_units
from pipeline.output.run_file import RunMetadata, write_run_file
from pipeline.output.verify import verify
from pipeline.run import convert_units
from pipeline.steps.chain import ChainSettings, Step, run_chain
from pipeline.steps.commit import Commit
from pipeline.storage.limits import Access
from schemas.detectors import CannySettings
from schemas.options import Options
from tests.conftest import recipe_of
from tests.planning import plan_into
from tests.records import read_records

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(1800)]
RECIPE = recipe_of(CannySettings(), mode="maps")
IDS = [f"p{number}" for number in range(12)]


def end() -> None:
    """End this process as a crash of a decoder does."""
    os._exit(139)


def fail() -> None:
    """Raise an error that this project does not know."""
    raise ZeroDivisionError("division by zero")


def stop() -> None:
    """Raise an error of this project that concerns all rows."""
    raise ModelError("net: cannot be loaded", "Choose another one.")


@dataclass(frozen=True)
class Poisoned:
    """Returns its table, unless it has one of some photos.

    Attributes:
        photos: The ids of the photos.
        effect: Called if the table has one of them.
    """

    photos: frozenset[str]
    effect: Callable[[], None]

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table."""
        if self.photos & set(pc.struct_field(table["planned"].combine_chunks(), "photo_id").to_pylist()):
            self.effect()
        return table


@dataclass(frozen=True)
class Unloadable:
    """A step whose models cannot be loaded."""

    effect: Callable[[], None]

    def __post_init__(self) -> None:
        self.effect()

    def __call__(self, table: pa.Table) -> pa.Table:
        """Return the table."""
        return table


def run(photos: Path, output: Path, *added: Step) -> Counter[str]:
    """Detect the control maps of twelve photos in units of four rows, with additional steps."""
    manifest = storage.read_table(write_manifest(photos, output / "m.parquet"))
    metadata = RunMetadata("run", RECIPE, "0", None)
    work = plan_into(output, manifest, size=4, recipe=RECIPE)
    write_run_file(str(output), metadata, {"status": "running"})
    chain = run_chain(ChainSettings(RECIPE, Access(frozenset({"file"}))), Commit(str(output), metadata))
    chain = replace(chain, steps=[*chain.steps, *added])
    pools.configure_ray_data(pools.Budget())
    cluster = pools.cluster_resources(pools.Budget())
    resources = pools.step_resources(cluster, pools.PoolSizes(1, 1), frozenset())
    log = logging.LoggerAdapter(logging.getLogger("photo2anime.test"), {})
    return convert_units(work, chain, resources, Options(), RunProgress(), log)


def write_manifest(photos: Path, path: Path) -> str:
    """Write a manifest of photos whose ids are `p0` to `p11`. Returns its path."""
    uris = sorted(str(photo) for photo in photos.iterdir())
    storage.put_table(str(path), pa.table({"photo_id": IDS, "uri": uris}))
    return str(path)


def test_only_the_photos_that_end_a_process_or_raise_unknown_errors_fail(photos: Path, tmp_path: Path) -> None:
    counts = run(
        photos,
        tmp_path,
        Step("decode", "light", Poisoned(frozenset({"p2"}), end)),
        Step("convert", "gpu", Poisoned, {"photos": frozenset({"p9"}), "effect": end}),
        Step("encode", "light", Poisoned(frozenset({"p5"}), fail)),
    )
    rows = {row["photo_id"]: row for row in read_records(str(tmp_path))}
    assert sorted(rows) == sorted(IDS)
    failures = {
        name: (row["failure"]["code"], row["failure"]["stage"], row["failure"]["attempts"], row["failure"]["retryable"])
        for name, row in rows.items()
        if row["status"] == "failed"
    }
    assert failures == {
        "p2": ("worker.died", "decode", pools.TASK_ATTEMPTS, True),
        "p9": ("worker.died", "convert", pools.TASK_ATTEMPTS, True),
        "p5": ("worker.unexpected_error", "encode", 1, True),
    }
    assert "ZeroDivisionError: division by zero" in rows["p5"]["failure"]["message"]
    assert (counts["converted"], counts["failed"], counts["processed"]) == (9, 3, 12)
    assert verify(str(tmp_path)).valid


@pytest.mark.parametrize("step", [Poisoned(frozenset(IDS), stop), None])
def test_an_error_of_this_project_ends_the_run_as_itself(photos: Path, tmp_path: Path, step: Poisoned | None) -> None:
    step_of = Step("decode", "light", step) if step else Step("convert", "gpu", Unloadable, {"effect": stop})
    with pytest.raises(ModelError, match=r"net: cannot be loaded\. Choose another one\.$"):
        run(photos, tmp_path, step_of)
    assert not done_units(str(tmp_path))


def test_a_run_whose_batches_are_all_lost_converts_every_other_photo(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_batches, "MOST_IN_A_ROW", 1)  # of three units
    monkeypatch.setattr(isolation.first_rows, "__defaults__", (5,))
    counts = run(photos, tmp_path, Step("encode", "light", Poisoned(frozenset(IDS[2:9]), fail)))
    assert (counts["converted"], counts["failed"]) == (5, 7)
    assert verify(str(tmp_path)).valid


@pytest.mark.parametrize("effect", [fail, end])
def test_a_step_that_fails_for_all_photos_ends_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effect: Callable[[], None]
) -> None:
    monkeypatch.setattr(lost_batches, "MOST_IN_A_ROW", 2)
    monkeypatch.setattr(stage_log, "MOST_LOADS", 2)
    with pytest.raises(WorkersFailedError) as caught:
        run(photos, tmp_path, Step("convert", "gpu", Unloadable, {"effect": effect}))
    assert caught.value.exit_code == 1
    assert not done_units(str(tmp_path))
