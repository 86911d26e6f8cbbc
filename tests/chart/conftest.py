"""Tests of the chart need Helm, and nothing else."""

from __future__ import annotations

import pytest

from tests import helm


@pytest.fixture(autouse=True)
def _helm() -> None:
    """Leave the test out where Helm is not installed."""
    if helm.program() is None:
        pytest.skip("Helm is not installed: put it on PATH")
