"""A cluster, the images in it, and one release that the tests share and leave as they found it."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator

import pytest

from tests.cluster import images, release
from tests.cluster.commands import Document, Kubectl, run
from tests.cluster.images import Images
from tests.cluster.release import Release
from tests.origin import Origin

# What `kubectl get nodes` calls the node's own address, on which pods reach this process.
NODE_ADDRESS = "{.items[0].status.addresses[?(@.type=='InternalIP')].address}"
SERVICES = "10.96.0.0/16"
PODS = "10.244.0.0/16"


@pytest.fixture(scope="session", autouse=True)
def _cluster() -> None:
    """Refuse to begin without what the tests cannot do without."""
    for program in ("kubectl", "helm"):
        assert shutil.which(program), f"{program} is not on PATH; see CONTRIBUTING.md"
    run("kubectl", "get", "nodes")


@pytest.fixture(scope="session")
def built() -> Images:
    """Give the images, in the cluster."""
    return images.prepare()


@pytest.fixture(scope="session")
def origin() -> Iterator[Origin]:
    """What jobs in pods fetch; it counts how often, which nobody else can know."""
    with Origin(run("kubectl", "get", "nodes", f"--output=jsonpath={NODE_ADDRESS}")) as origin:
        yield origin


@pytest.fixture(scope="session")
def main(
    built: Images, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """The release that most tests use; see `rqube`."""
    values = {
        "settings": {
            # Pages inside the cluster: the api's own Service, and this process.
            "fetchAllow": f"{SERVICES}:80,{origin.allow}",
            "tasks": ["own_tasks"],
        },
        "workers": {
            "defaults": {
                "image": built.own_worker,
                "egress": {"cidrs": [SERVICES, PODS]},
            }
        },
    }
    folder = tmp_path_factory.mktemp("release")
    with release.installed("rqube-test", built, values, folder=folder) as installed:
        yield installed


@pytest.fixture
def rqube(main: Release) -> Iterator[Release]:
    """The release with its first values; they are set again after the test."""
    yield main
    main.change({})
    main.kubectl.wait_for_rollout(f"deployment/{release.NAME}-worker-default")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what happened in its namespace."""
    report = yield
    found = next((one for one in item.funcargs.values() if isinstance(one, Release)), None)
    if report.failed and found is not None:
        report.sections.append(("Cluster", _story(found.kubectl)))
    return report


def _story(kubectl: Kubectl) -> str:
    parts = [
        kubectl("get", "pods", "--output=wide"),
        kubectl("get", "events", "--sort-by=.lastTimestamp"),
    ]
    pods = kubectl.list("pods", f"app.kubernetes.io/instance={release.NAME}")
    return "\n".join([*parts, *(_log(kubectl, pod) for pod in pods)])


def _log(kubectl: Kubectl, pod: Document) -> str:
    name = pod["metadata"]["name"]
    try:
        return f"--- {name}\n{kubectl('logs', name, '--tail=40', '--all-containers')}"
    except AssertionError as error:  # it is gone meanwhile, or has not begun
        return f"--- {name}\n{error}"
