"""Ray's errors turned into one line of ours."""

from pipeline.engine import _stopped


def test_a_fault_of_ours_is_found_in_rays_text() -> None:
    text = "ray::Map\n  File x\npipeline.faults.OutputFault: out: no space left. Free some.\n\nThe above\nray.exceptions.X: UDF failed"
    assert str(_stopped(RuntimeError(text))) == "out: no space left. Free some."


def test_any_other_error_is_its_last_line_and_a_way_to_see_more() -> None:
    fault = _stopped(RuntimeError("Traceback\nZeroDivisionError: division by zero\n\n"))
    assert str(fault).startswith(
        "the work ended early: ZeroDivisionError: division by zero. Run it again with --verbose"
    )
    assert fault.exit_code == 1
