"""Tests of the chart need Helm, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import helm

FOLDER = Path(__file__).parent
REASON = "Helm is not on PATH, and there is no Go to build it with"


@pytest.hookimpl
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Build Helm where that is possible, before the time of any test is measured."""
    ours = [item for item in items if FOLDER in item.path.parents]
    if not ours or helm.program():
        return
    sys.stderr.write("Helm is not on PATH: building it, once, which takes some minutes.\n")
    if not helm.build():
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=REASON))
