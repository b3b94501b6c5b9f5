"""Earlier versions of the product, from the history of this repository."""

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRST = "e0dce886d527db28042049f8d650454887f17f48"
"""The version before stored data and replicas carried a version."""
BEFORE_V1 = "c6a52ab52d85ac9398efd054880af14e941cc3bf"
"""The version before scheduling.v1: it reads no later format than 1."""
FOLDERS = {FIRST: ("src",), BEFORE_V1: ("server/src", "client/src")}


def source_of(commit: str, directory: Path) -> str:
    """A PYTHONPATH of that commit's code. Skips the test where the history does not have it."""
    folders = FOLDERS[commit]
    archive = subprocess.run(
        ["git", "archive", "--format=tar", commit, *folders],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        pytest.skip(f"this checkout does not have the commit {commit}: {archive.stderr.decode()}")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(directory, filter="data")
    return ":".join(str(directory / folder) for folder in folders)
