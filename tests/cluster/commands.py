"""kubectl and helm, as a person would type them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Document = dict[str, Any]

PATIENCE_SECONDS = 180.0


def run(*words: str, stdin: str | None = None, within: float = PATIENCE_SECONDS) -> str:
    """Run a command that must succeed; gives what it printed."""
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=within, check=False
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl in one namespace."""

    namespace: str

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        """Run a command that must succeed; gives what it printed."""
        return run("kubectl", "--namespace", self.namespace, *words, stdin=stdin)

    def get(self, *words: str) -> Document:
        """Read an object or a list of objects."""
        document: Document = json.loads(self("get", *words, "--output=json"))
        return document

    def list(self, kind: str, selector: str = "") -> list[Document]:
        """List objects, those of a selector only when there is one."""
        words = [f"--selector={selector}"] if selector else []
        items: list[Document] = self.get(kind, *words)["items"]
        return items

    def apply(self, *objects: Document) -> None:
        """Create or change objects."""
        self("apply", "--filename=-", stdin=json.dumps({"kind": "List", "apiVersion": "v1",
                                                         "items": list(objects)}))  # fmt: skip

    def make_namespace(self) -> None:
        """Create the namespace, which refuses pods that are not restricted."""
        labels = {
            f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")
        }
        metadata = {"name": self.namespace, "labels": labels}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def wait_for_rollout(self, *names: str) -> None:
        """Wait until workloads, such as `deployment/api`, are as they should be."""
        for name in names:
            self("rollout", "status", name, f"--timeout={PATIENCE_SECONDS:.0f}s")


@dataclass(frozen=True, slots=True)
class Helm:
    """helm with one release of the chart."""

    namespace: str
    release: str
    chart: Path

    def install(self, values: Document, *, folder: Path) -> None:
        """Install, or upgrade, and wait until everything is ready.

        Numbers of replicas that `kubectl scale` took over are the chart's again.
        """
        path = folder / "values.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        words = ["upgrade", "--install", self.release, str(self.chart), f"--values={path}"]
        self._run([*words, "--wait", "--timeout=4m", "--force-conflicts"])

    def rollback(self) -> None:
        """Go back to the revision before, and wait until everything is ready."""
        self._run(["rollback", self.release, "--wait", "--timeout=4m"])

    def test(self) -> str:
        """Run the chart's own tests, which must pass; gives what they printed."""
        return self._run(["test", self.release, "--logs", "--timeout=2m"])

    def uninstall(self) -> None:
        """Remove the release."""
        self._run(["uninstall", self.release, "--wait", "--timeout=3m"])

    def _run(self, words: Sequence[str]) -> str:
        return run("helm", *words, "--namespace", self.namespace, within=300.0)
