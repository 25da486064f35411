"""What runs elsewhere: the cluster's job is valid and runs our command; the image is built from what is here."""

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


@pytest.mark.shared
@pytest.mark.skipif(not CRDS.is_dir(), reason="needs ../shared/kuberay-crds")
def test_the_ray_job_is_valid() -> None:
    definition = yaml.load((CRDS / "ray.io_rayjobs.yaml").read_text(), Loader=yaml.CSafeLoader)
    (version,) = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
    schema = version["schema"]["openAPIV3Schema"]
    jsonschema.validate(JOB, schema)
    known = schema["properties"]["spec"]["properties"]
    assert JOB["spec"].keys() <= known.keys()  # a custom resource drops unknown fields in silence
    assert JOB["spec"]["rayClusterSpec"].keys() <= known["rayClusterSpec"]["properties"].keys()


def test_the_job_runs_our_command_with_options_that_exist() -> None:
    program, command, *arguments = shlex.split(JOB["spec"]["entrypoint"])
    assert (program, command) == ("photo2anime", "convert")
    help_text = CliRunner().invoke(app, ["convert", "--help"], env={"COLUMNS": "200"}).stdout
    assert all(option in help_text for option in arguments if option.startswith("--"))


def test_the_job_and_the_lock_name_one_ray() -> None:
    locked = re.search(r"^ray==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert locked
    assert JOB["spec"]["rayClusterSpec"]["rayVersion"] == locked.group(1)


def test_the_image_copies_what_exists() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "infra" / "Dockerfile").read_text(), re.MULTILINE)
    for name in " ".join(copied).split():
        assert Path(ROOT, name).exists()


def test_the_lock_names_no_address_and_hashes_everything() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in "\n".join(line for line in lock.splitlines() if not line.startswith("#"))
    packages = re.findall(r"^[a-z0-9][\w.-]*==.*$", lock, re.MULTILINE)
    assert len(packages) > 100
    assert all(package.endswith("\\") for package in packages)


def test_one_opencv_alone_is_locked_for_any_machine_and_installed() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    wanted = re.findall(r"^(opencv[\w-]*)==[\d.]+ (?!; sys_platform == 'never')", lock, re.MULTILINE)
    assert wanted == ["opencv-python-headless"]
    installed = {each.metadata["Name"] for each in distributions() if each.metadata["Name"].startswith("opencv")}
    assert installed == {"opencv-python-headless"}
