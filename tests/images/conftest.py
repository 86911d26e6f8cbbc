"""The images, built once for the run by the test cluster's program.

`CLUSTER_DIR` is its folder. These tests are no part of `make test`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.images.container import ROOT, Image

TAG = "image-tests"
SERVICES = ("api", "worker", "scheduler")

Figures = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def builder() -> Path:
    """The program that builds images."""
    folder = os.environ.get("CLUSTER_DIR")
    assert folder, "CLUSTER_DIR must name the folder of the test cluster, which builds the images"
    return Path(folder).resolve() / "cluster"


@pytest.fixture(scope="session")
def images(builder: Path) -> Mapping[str, Image]:
    """The image of each service."""
    subprocess.run(["make", "images", f"TAG={TAG}", f"BUILDER={builder}"], cwd=ROOT, check=True)
    return {service: Image(f"rqube-{service}:{TAG}") for service in SERVICES}


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    """Each service in turn."""
    return str(request.param)


@pytest.fixture
def image(images: Mapping[str, Image], service: str) -> Image:
    """The service's image."""
    return images[service]


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> list[str]:
    """What was measured, for the end of the run."""
    return request.config.stash.setdefault(Figures, [])


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    lines = terminalreporter.config.stash.get(Figures, [])
    if lines:
        terminalreporter.section("images")
        for line in lines:
            terminalreporter.write_line(line)
