"""Check the files around the source: license, changelog, workflows, links."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
YAML_FILES = sorted([*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"])
MARKDOWN_FILES = sorted([*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "infra").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Written in parts, because the test searches this file too.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"), ("python" + "hosted", "org"), ("anaconda", "org"), ("npmjs", "org"), ("yarnpkg", "com"),
        ("crates", "io"), ("rubygems", "org"), ("golang", "org"), ("docker", "io"),
    )
]  # fmt: skip


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tracked_files() -> list[Path]:
    """Return the files that git tracks, without those that were deleted in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_license_is_the_one_of_pyproject() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    words = " ".join((ROOT / "LICENSE").read_text().split())
    assert words.startswith("Apache License Version 2.0, January 2004")
    assert "END OF TERMS AND CONDITIONS" in words


def test_changelog_has_unreleased_changes_and_the_version_of_pyproject() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert PROJECT["version"] in headings


@pytest.mark.parametrize("path", YAML_FILES, ids=relative)
def test_yaml_file_is_valid(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_pre_commit_hooks_are_local() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repository["repo"] for repository in repositories} == {"local"}
    hooks = [hook for repository in repositories for hook in repository["hooks"]]
    assert {hook["language"] for hook in hooks} <= {"system", "pygrep"}


def test_ci_workflow_runs_the_ci_script() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100  # executable
    assert all(re.search(r"@v\d+$", step["uses"]) for step in steps if "uses" in step)


@pytest.mark.parametrize("path", MARKDOWN_FILES, ids=relative)
def test_relative_links_resolve(path: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


def test_no_tracked_file_names_a_package_registry() -> None:
    """Package registries are configured on the machine, so that mirrors work."""
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, REGISTRY_HOSTS))})(?![\w-])")
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a binary file
            continue
        found += [f"{relative(path)}: {host}" for host in pattern.findall(text)]
    assert found == []


@pytest.mark.parametrize("package", ["pipeline", "jobs", "schemas"])
def test_package_is_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_each_measure_of_the_threat_model_has_a_test() -> None:
    text = (ROOT / ".github" / "SECURITY.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "tests/" in line]
    named = [re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row) for row in rows]
    assert len(rows) > 10
    assert all(named)
    missing = [name for row in named for path, name in row if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []
