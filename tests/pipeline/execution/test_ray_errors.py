"""Ray's errors turned into one line of ours."""

import pyarrow as pa
import pytest

from pipeline.errors import OutputError
from pipeline.execution.ray_errors import run_stopped_error


def test_a_fault_of_ours_is_found_in_rays_text() -> None:
    ours = "pipeline.errors.OutputError: out: no space left. Free some."
    text = f"ray::Map\n  File x\n{ours}\n\nThe above\nray.exceptions.X: UDF failed"
    assert str(run_stopped_error(RuntimeError(text))) == "out: no space left. Free some."


def test_any_other_error_is_its_last_line_and_a_way_to_see_more() -> None:
    text = (
        "ray::Map\n  File x\nZeroDivisionError: division by zero\n\nThe above\nray.exceptions.X: UDF failed\nTo retry"
    )
    fault = run_stopped_error(RuntimeError(text))
    assert str(fault).startswith(
        "the work ended early: ZeroDivisionError: division by zero. Run it again with --verbose"
    )
    assert fault.exit_code == 1


@pytest.mark.usefixtures("ray_session")
def test_a_fault_in_a_step_comes_through_ray_as_one_line() -> None:
    def full(_batch: pa.Table) -> pa.Table:
        message = "out: no space left"
        raise OutputError(message, "Free some.")

    import ray.data

    with pytest.raises(ray.exceptions.RayError) as caught:
        list(ray.data.from_arrow([pa.table({"n": [1]})]).map_batches(full).iter_batches())
    assert str(run_stopped_error(caught.value)) == "out: no space left. Free some."
