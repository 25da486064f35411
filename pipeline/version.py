"""What this program is: its version, and the git commit that it runs from."""

import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def project_version() -> str:
    """Return the installed version of photo2anime."""
    try:
        return version("photo2anime")
    except PackageNotFoundError:
        return "not installed"


def git_commit() -> str | None:
    """Return the commit of the checkout this runs from, `-dirty` behind it where files differ.

    An image built without its `.git` says it by PHOTO2ANIME_COMMIT. None where nobody knows.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return os.environ.get("PHOTO2ANIME_COMMIT")
    described = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(described, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603 - a constant command
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("PHOTO2ANIME_COMMIT")
