"""Programs of Prometheus, where this machine has them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

CLUSTER_STATE = "/var/lib/test-cluster"


def find(name: str) -> Path:
    """Give the program's path, from PATH or from the test cluster's programs; skips without."""
    folder = Path(os.environ.get("CLUSTER_STATE", CLUSTER_STATE), "bin")
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}{os.pathsep}{folder}")
    if found is None:
        pytest.skip(f"{name} is neither on PATH nor in {folder}")
    return Path(found)
