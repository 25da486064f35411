"""The comparison of the content of files in Ray tasks."""

import hashlib
from pathlib import Path

import pytest

from pipeline.errors import RunStoppedError
from pipeline.execution.check_content import FILES, altered_files_on_ray
from pipeline.output.file_content import RecordedFile, altered_files


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_tasks_find_the_same_files_as_threads(tmp_path: Path) -> None:
    files = []
    for number in range(FILES + 10):
        content = str(number).encode()
        (tmp_path / f"{number}.png").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        files.append(RecordedFile(f"{number}.png", "u", None if number % 100 == 0 else digest))
    (tmp_path / "1.png").unlink()
    expected = sorted(altered_files(str(tmp_path), [files]))
    assert len(expected) == 7
    assert sorted(altered_files_on_ray(str(tmp_path), [files[:100], files[100:]])) == expected
    assert list(altered_files_on_ray(str(tmp_path), [])) == []


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_an_error_of_a_task_stops_the_verification(tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError):
        list(altered_files_on_ray(f"none://{tmp_path}", [[RecordedFile("x", "u", None)]]))
