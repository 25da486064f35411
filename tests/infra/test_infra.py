"""The Ray job, the Dockerfile and the lock file are valid and agree with the project."""

import re
import shlex
from importlib.metadata import distributions
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from jobs.app import app
from tests.conftest import ROOT

CRDS = ROOT.parent / "shared" / "kuberay-crds"
JOB = yaml.safe_load((ROOT / "infra" / "kuberay" / "rayjob.yaml").read_text())


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not CRDS.is_dir(), reason="needs ../shared/kuberay-crds")
def test_the_ray_job_matches_the_schema_of_kuberay() -> None:
    definition = yaml.load((CRDS / "ray.io_rayjobs.yaml").read_text(), Loader=yaml.CSafeLoader)
    (version,) = [version for version in definition["spec"]["versions"] if version["name"] == "v1"]
    schema = version["schema"]["openAPIV3Schema"]
    jsonschema.validate(JOB, schema)
    known = schema["properties"]["spec"]["properties"]
    assert JOB["spec"].keys() <= known.keys()  # Kubernetes ignores unknown fields without an error
    assert JOB["spec"]["rayClusterSpec"].keys() <= known["rayClusterSpec"]["properties"].keys()


def test_the_ray_job_runs_convert_with_existing_options() -> None:
    program, command, *arguments = shlex.split(JOB["spec"]["entrypoint"])
    assert (program, command) == ("photo2anime", "convert")
    help_text = CliRunner().invoke(app, ["convert", "--help"], env={"COLUMNS": "200"}).stdout
    assert all(option in help_text for option in arguments if option.startswith("--"))


def test_the_ray_job_has_the_locked_version_of_ray() -> None:
    locked = re.search(r"^ray==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert JOB["spec"]["rayClusterSpec"]["rayVersion"] == locked.group(1)


def test_the_dockerfile_copies_existing_files() -> None:
    sources = re.findall(r"^COPY (.+) \S+$", (ROOT / "infra" / "Dockerfile").read_text(), re.MULTILINE)
    for name in " ".join(sources).split():
        assert Path(ROOT, name).exists()


def test_the_lock_file_has_hashes_and_no_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in "\n".join(line for line in lock.splitlines() if not line.startswith("#"))
    packages = re.findall(r"^[a-z0-9][\w.-]*==.*$", lock, re.MULTILINE)
    assert len(packages) > 100
    assert all(package.endswith("\\") for package in packages)


def test_only_the_headless_opencv_is_locked_and_installed() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    locked = re.findall(r"^(opencv[\w-]*)==[\d.]+ (?!; sys_platform == 'never')", lock, re.MULTILINE)
    assert locked == ["opencv-python-headless"]
    installed = {
        package.metadata["Name"] for package in distributions() if package.metadata["Name"].startswith("opencv")
    }
    assert installed == {"opencv-python-headless"}
