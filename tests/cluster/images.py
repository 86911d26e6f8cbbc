"""The images that the tests install: built and loaded, or given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.commands import run

ROOT = Path(__file__).parents[2]
SERVICES = ("api", "worker", "scheduler")
NEXT = "next"
BUILD_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Images:
    """Where the images are."""

    registry: str
    tag: str
    next_tag: str
    """The same images under a second tag, to upgrade to."""
    own_worker: str
    """A worker's image with tasks of its own."""


def prepare() -> Images:
    """Give those of RQUBE_TEST_REGISTRY, else build this tree's with the tools in CLUSTER_DIR."""
    registry = os.environ.get("RQUBE_TEST_REGISTRY")
    tag = os.environ.get("RQUBE_TEST_TAG", "dev")
    if not registry:
        registry = "localhost"
        _build(Path(os.environ.get("CLUSTER_DIR", ROOT.parent / "shared" / "cluster")), tag)
    return Images(registry, tag, NEXT, f"{registry}/rqube-worker-own:{tag}")


def _build(cluster: Path, tag: str) -> None:
    tool = str(cluster / "cluster")
    file = str(ROOT / "services" / "Dockerfile")
    loaded = []
    for service in SERVICES:
        name, following = f"rqube-{service}:{tag}", f"rqube-{service}:{NEXT}"
        words = [tool, "build", name, str(ROOT), "--file", file, "--target", service]
        run(*words, within=BUILD_SECONDS)
        run("buildah", "tag", name, following)
        loaded += [name, following]
    own = f"rqube-worker-own:{tag}"
    folder = str(Path(__file__).parent / "own_tasks")
    run(tool, "build", own, folder, "--build-arg", f"TAG={tag}", within=BUILD_SECONDS)
    run(tool, "load", *loaded, own, within=BUILD_SECONDS)
