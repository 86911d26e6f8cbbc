"""The chart, installed in a namespace of its own, with Postgres and Redis beside it."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx

from tests.api_client import TIMEOUT_SECONDS, ApiClient
from tests.cluster.commands import Document, Helm, Kubectl
from tests.cluster.images import Images
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
NAME = "rqube"
METRICS_PORT = 9100


@dataclass(slots=True, kw_only=True)
class Release(ApiClient):
    """What is installed, and a client of its api."""

    kubectl: Kubectl
    helm: Helm
    values: Document
    folder: Path
    seconds_to_ready: float = 0.0
    """From `helm install` until all was ready, image pulls excluded: they are on the node."""
    notes: list[str] = field(default_factory=list)

    def change(self, changes: Document) -> None:
        """Upgrade to these values on top of the first ones; returns when all is ready."""
        self.helm.install(merged(self.values, changes), folder=self.folder)

    def pods(self, component: str) -> list[Document]:
        """List the pods of a component that are not on their way out."""
        selector = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component={component}"
        pods = self.kubectl.list("pods", selector)
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def scale(self, pool: str, replicas: int) -> None:
        """Set the number of a pool's pods by hand; returns at once."""
        name = f"deployment/{NAME}-worker-{pool}"
        self.kubectl("scale", name, f"--replicas={replicas}")

    def wait_for_workers(self, number: int, *, within: float = 120.0) -> None:
        """Wait until so many workers, and no more, take jobs."""

        def is_so() -> bool:
            workers = self.get("/api/v1/workers")["workers"]
            ready = [one for one in workers if one["is_alive"] and not one["draining"]]
            return len(ready) == number

        wait_until(is_so, within=within, otherwise=f"{number} workers", every_seconds=0.25)

    def delete_at_once(self, pod: Document) -> None:
        """Delete a pod without any grace, as when its node is lost."""
        name = pod["metadata"]["name"]
        self.kubectl("delete", "pod", name, "--grace-period=0", "--force")


@contextmanager
def installed(
    namespace: str, images: Images, values: Document, *, folder: Path
) -> Iterator[Release]:
    """Install stores and chart into a new restricted namespace; delete all of it after."""
    kubectl = Kubectl(namespace)
    kubectl.make_namespace()
    try:
        kubectl("apply", "--kustomize", str(ROOT / "k8s" / "stores"))
        host = {"stringData": {"host": f"rqube-redis.{namespace}.svc"}}
        kubectl("patch", "secret", "rqube-redis", f"--patch={json.dumps(host)}")
        kubectl.wait_for_rollout("statefulset/rqube-postgres", "deployment/rqube-redis")
        helm = Helm(namespace, NAME, ROOT / "charts" / "rqube")
        all_values = merged(first_values(images), values)
        began = time.monotonic()
        helm.install(all_values, folder=folder)
        seconds = time.monotonic() - began
        address = kubectl.get("service", f"{NAME}-api")["spec"]["clusterIP"]
        with httpx.Client(
            base_url=f"http://{address}", timeout=TIMEOUT_SECONDS, trust_env=False
        ) as client:
            yield Release(
                http=client,
                kubectl=kubectl,
                helm=helm,
                values=all_values,
                folder=folder,
                seconds_to_ready=seconds,
            )
    finally:
        kubectl("delete", "namespace", namespace, "--wait=false")


def first_values(images: Images) -> Document:
    """Give the values that every release of the tests has."""
    return {
        "image": {"registry": images.registry, "tag": images.tag},
        "postgres": {"existingSecret": "rqube-postgres"},
        "redis": {"existingSecret": "rqube-redis"},
        "api": {"resources": {"requests": {"cpu": "20m"}}},
        "scheduler": {"resources": {"requests": {"cpu": "20m"}}},
        "workers": {
            "defaults": {"resources": {"requests": {"cpu": "20m", "memory": "128Mi"}}},
            "pools": {"default": {"replicas": 1}},
        },
        "pods": {
            "podAnnotations": {
                "prometheus.io/scrape": "true",
                "prometheus.io/port": str(METRICS_PORT),
            }
        },
    }


def merged(values: Document, changes: Mapping[str, object]) -> Document:
    """Merge maps as helm does: what is no map replaces what was there."""
    result = copy.deepcopy(values)
    for name, change in changes.items():
        before = result.get(name)
        if isinstance(before, dict) and isinstance(change, dict):
            result[name] = merged(before, change)
        else:
            result[name] = copy.deepcopy(change)
    return result


def moment(text: str) -> datetime:
    """Read a time of the api."""
    return datetime.fromisoformat(text)
