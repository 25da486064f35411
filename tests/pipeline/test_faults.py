"""The tree of errors: exit codes, and one line each."""

from pipeline import faults


def test_run_faults_are_one_line_with_what_and_how_to_mend() -> None:
    fault = faults.OutputFault("out: is\nfull", "Free   some.")
    assert str(fault) == "out: is full. Free some."
    assert str(faults.OutputFault("out: is full")) == "out: is full"


def test_exit_codes() -> None:
    before = [faults.RecipeFault, faults.ManifestFault, faults.ModelFault, faults.OutputFault, faults.StorageFault]
    assert {fault.exit_code for fault in before} == {2}
    assert faults.StoppedFault.exit_code == 1


def test_photo_faults_are_not_run_faults() -> None:
    assert not issubclass(faults.PhotoFault, faults.RunFault)
    assert faults.DecodeFault("x").retryable is False
