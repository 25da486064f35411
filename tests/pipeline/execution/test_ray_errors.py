"""Errors of Ray become one line of text."""

import pyarrow as pa
import pytest

from pipeline.errors import OutputError
from pipeline.execution.ray_errors import run_stopped_error


def test_an_error_of_this_program_is_found_in_the_text_of_ray() -> None:
    ours = "pipeline.errors.OutputError: out: no space left. Free some."
    text = f"ray::Map\n  File x\n{ours}\n\nThe above\nray.exceptions.X: UDF failed"
    assert str(run_stopped_error(RuntimeError(text))) == "out: no space left. Free some."


def test_any_other_error_is_shown_by_its_last_line() -> None:
    text = (
        "ray::Map\n  File x\nZeroDivisionError: division by zero\n\nThe above\nray.exceptions.X: UDF failed\nTo retry"
    )
    error = run_stopped_error(RuntimeError(text))
    assert "ZeroDivisionError: division by zero" in str(error)
    assert "--verbose" in str(error)
    assert error.exit_code == 1


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_an_error_in_a_step_passes_through_ray_as_one_line() -> None:
    def full(_batch: pa.Table) -> pa.Table:
        raise OutputError("out: no space left", "Free some.")

    import ray.data

    with pytest.raises(ray.exceptions.RayError) as caught:
        list(ray.data.from_arrow([pa.table({"n": [1]})]).map_batches(full).iter_batches())
    assert str(run_stopped_error(caught.value)) == "out: no space left. Free some."
