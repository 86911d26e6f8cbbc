"""The running system with a short lease, on the run's servers, and ways to hurt it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
import redis

from rqube.settings import Settings
from tests.e2e import stack as stacks
from tests.e2e.stack import Stack
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.origin import Origin

LEASE_SECONDS = 3.0
"""Of real workers it is 15; what is shown is the order of events, which is the same."""


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """What jobs fetch; it counts how often, which nobody else can know."""
    with Origin() as origin:
        yield origin


@pytest.fixture(scope="module")
def stack(
    clean_servers: Settings, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """An api, a worker and two schedulers."""
    folder = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RQUBE_LEASE_SECONDS", str(LEASE_SECONDS))
        with stacks.running(clean_servers, folder, fetch_allow=origin.allow) as running:
            yield running


@pytest.fixture
def postgres_proxy(stack: Stack) -> Iterator[FaultProxy]:
    """A way to Postgres that can be failed."""
    with fault_proxy(stack.settings.postgres_url) as made:
        yield made


@pytest.fixture
def client(stack: Stack) -> Iterator[redis.Redis]:
    """A connection to Redis."""
    with redis.Redis.from_url(stack.settings.redis_url) as client:
        yield client


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
