"""The errors of Ray become errors of this project, in one line."""

import pyarrow as pa
import pytest

from pipeline.errors import OutputError
from pipeline.execution.ray_errors import run_stopped_error


def test_an_error_of_a_step_is_found_in_the_text_of_ray() -> None:
    own = "pipeline.errors.OutputError: out: no space left. Free some."
    text = f"ray::Map\n  File x\n{own}\n\nThe above\nray.exceptions.X: UDF failed"
    assert str(run_stopped_error(RuntimeError(text))) == "out: no space left. Free some."


def test_another_error_is_the_last_line_of_its_traceback() -> None:
    text = (
        "ray::Map\n  File x\nZeroDivisionError: division by zero\n\nThe above\nray.exceptions.X: UDF failed\nTo retry"
    )
    error = run_stopped_error(RuntimeError(text))
    assert "ZeroDivisionError: division by zero" in str(error)
    assert "--verbose" in str(error)
    assert error.exit_code == 1


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_an_error_in_a_step_passes_ray_as_one_line() -> None:
    def full(_batch: pa.Table) -> pa.Table:
        raise OutputError("out: no space left", "Free some.")

    import ray.data

    with pytest.raises(ray.exceptions.RayError) as caught:
        list(ray.data.from_arrow([pa.table({"n": [1]})]).map_batches(full).iter_batches())
    assert str(run_stopped_error(caught.value)) == "out: no space left. Free some."
