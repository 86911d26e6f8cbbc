"""The running system for tests that use it over HTTP; each module has one of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from rqube.settings import Settings
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.origin import Origin


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """What jobs fetch."""
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def stack(
    clean_servers: Settings, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """An api, a worker and two schedulers on the run's servers."""
    folder = tmp_path_factory.mktemp("stack")
    with stacks.running(clean_servers, folder, fetch_allow=origin.allow) as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what the services logged."""
    report = yield
    stack = item.funcargs.get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections.append(("Services", stack.output()))
    return report
