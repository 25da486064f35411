"""Modules import from their own package and lower ranks, files are short, and the wheel has all files."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the lowest rank to the highest. A module may import from its own package and from packages of lower ranks.
RANKS: tuple[tuple[str, ...], ...] = (
    ("schemas", "pipeline.errors", "pipeline.quiet"),
    ("pipeline.storage",),
    ("pipeline.images", "pipeline.recipes"),
    ("pipeline.models", "pipeline.output"),
    ("pipeline.detectors", "pipeline.diffusion", "pipeline.plan"),
    ("pipeline.steps",),
    ("pipeline.execution",),
    ("pipeline.flow",),
    ("pipeline.run", "pipeline.preview"),
    ("jobs",),
)
RANK_OF = {package: rank for rank, packages in enumerate(RANKS) for package in packages}
SOURCES = sorted(path for top in ("pipeline", "jobs", "schemas") for path in (ROOT / top).rglob("*.py"))
LONGEST_FILE = 300  # lines


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def package_of(module: str) -> str:
    """Return the package of `RANKS` that a module belongs to."""
    return next(name for name in sorted(RANK_OF, key=len, reverse=True) if f"{module}.".startswith(f"{name}."))


def imports_of(path: Path) -> set[str]:
    """Return the modules of this project that a file imports, at its top or inside a function."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= {name if name in MODULES else node.module for name in names}
    return {name for name in imported if name in MODULES}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"pipeline"}))
def test_a_module_imports_from_lower_ranks_only(module: str) -> None:
    package = package_of(module)
    for imported in imports_of(MODULES[module]):
        other = package_of(imported)
        assert other == package or RANK_OF[other] < RANK_OF[package], f"{module} imports {imported}"


def test_there_are_no_circular_imports() -> None:
    graph = {module: imports_of(path) for module, path in MODULES.items()}
    # Remove the modules that import no remaining module, until none is left. The modules of a cycle are never removed.
    while graph:
        resolved = {module for module, imports in graph.items() if not imports & graph.keys()}
        assert resolved, f"circular imports among {sorted(graph)}"
        graph = {module: imports for module, imports in graph.items() if module not in resolved}


def test_schemas_import_only_schemas() -> None:
    for module, path in MODULES.items():
        if module.startswith("schemas"):
            assert all(name.startswith("schemas") for name in imports_of(path)), module


def test_no_other_module_imports_jobs_demo_model() -> None:
    for module, path in MODULES.items():
        if not module.startswith("jobs.demo_model"):
            assert not any(name.startswith("jobs.demo_model") for name in imports_of(path)), module


def test_tests_of_the_core_do_not_import_the_bench_or_the_demo_model() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        if not path.is_relative_to(ROOT / "tests" / "jobs") and not path.is_relative_to(ROOT / "tests" / "gpu"):
            assert not any(name.startswith(("jobs.bench", "jobs.demo_model")) for name in imports_of(path)), path


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))], ids=module_of)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.slow
def test_the_wheel_contains_every_module_and_data_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    expected = set()
    for name in filter(None, tracked.split("\0")):
        top = name.partition("/")[0]
        if top in {"pipeline", "jobs", "schemas"} and (ROOT / name).is_file():
            expected.add(name)
        if top in {"pipeline", "jobs", "schemas", "pyproject.toml", "README.md"} and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = "from setuptools import build_meta; import sys; build_meta.build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert expected <= set(archive.namelist())
