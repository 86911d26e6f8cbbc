"""Renders the chart as `helm` does, without a cluster.

The program is looked for on PATH, beside that of the test cluster, and in the environment. PyPI has
no package that brings it; `.ci/run` builds it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "charts" / "rqube"
RELEASE = "prod"

Object = dict[str, Any]

EXTERNAL: Object = {
    "postgres": {"existingSecret": "rqube-postgres"},
    "redis": {"existingSecret": "rqube-redis"},
}
"""The least that the chart must be told."""


class Refused(Exception):
    """Helm did not render; the message is Helm's."""


class Once(yaml.CSafeLoader):
    """Reads YAML and refuses a key that stands twice in a map, of which one would be lost."""


def _map(loader: Once, node: yaml.MappingNode) -> Object:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        message = f"{twice} twice{node.start_mark}"
        raise ValueError(message)
    return {str(key): value for key, value in loader.construct_mapping(node, deep=True).items()}


Once.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _map)


@functools.cache
def program() -> Path | None:
    """Find Helm; `None` when it is nowhere."""
    cluster = [os.environ.get("CLUSTER_STATE"), "/var/lib/test-cluster"]
    folders = [f"{state}/bin" for state in cluster if state]
    path = os.pathsep.join([os.environ.get("PATH", ""), *folders, str(Path(sys.executable).parent)])
    found = shutil.which("helm", path=path)
    return Path(found) if found else None


def render(
    values: Mapping[str, Any] | None = None,
    *,
    chart: Path = CHART,
    release: str = RELEASE,
    arguments: Sequence[str] = (),
) -> list[Object]:
    """Give the objects that values render to; equal calls are answered from memory.

    Raises:
        Refused: Helm does not accept the values.
    """
    return _render(json.dumps(values or {}, sort_keys=True), chart, release, tuple(arguments))


def render_external(**values: Any) -> list[Object]:
    """Render with the Secrets of both servers named, and these values beside."""
    return render(merged(EXTERNAL, values))


def notes(values: Mapping[str, Any]) -> str:
    """Give what Helm says after an installation."""
    text = json.dumps(values)
    shown = run("install", RELEASE, str(CHART), "--values=-", "--dry-run=client", text=text)
    return shown.partition("\nNOTES:\n")[2]


def run(*arguments: str, text: str = "") -> str:
    """Run Helm; gives what it writes.

    Raises:
        Refused: it fails.
    """
    helm = program()
    assert helm is not None
    done = subprocess.run(
        [helm, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> Object:
    """Lay values over others as Helm does: maps are merged, all else is replaced."""
    result = dict(lower)
    for key, value in upper.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def one(objects: Sequence[Object], kind: str, name: str = "") -> Object:
    """Give the one object of a kind whose name ends so."""
    [found] = every(objects, kind, name)
    return found


def every(objects: Sequence[Object], kind: str, name: str = "") -> list[Object]:
    """Give the objects of a kind whose names end so."""
    return [
        this for this in objects if this["kind"] == kind and this["metadata"]["name"].endswith(name)
    ]


def pod_templates(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """Give name and template of everything that makes pods, bare pods included."""
    for this in objects:
        name = f"{this['kind']}/{this['metadata']['name']}"
        if this["kind"] == "Pod":
            yield name, this
        elif "template" in this.get("spec", {}):
            yield name, this["spec"]["template"]


def container(this: Object) -> Object:
    """Give the container that the chart describes, which is the first."""
    template = this if this["kind"] == "Pod" else this["spec"]["template"]
    first: Object = template["spec"]["containers"][0]
    return first


def environment(this: Object) -> dict[str, Any]:
    """Give the variables of that container by name."""
    return {
        one["name"]: one.get("value", one.get("valueFrom"))
        for one in container(this).get("env", [])
    }


@functools.cache
def _render(values: str, chart: Path, release: str, arguments: tuple[str, ...]) -> list[Object]:
    text = run("template", release, str(chart), "--values=-", *arguments, text=values)
    return [document for document in yaml.load_all(text, Loader=Once) if document]


@functools.cache
def chart_with_samples() -> Path:
    """Copy the chart and add a rule and a dashboard whose content tests can rely on."""
    copy = Path(tempfile.mkdtemp(prefix="rqube-chart-")) / "rqube"
    shutil.copytree(CHART, copy)
    for name, text in SAMPLES.items():
        path = copy / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return copy


SAMPLES = {
    "rules/sample.yaml": yaml.safe_dump(
        {
            "groups": [
                {
                    "name": "sample",
                    "interval": "30s",
                    "rules": [
                        {"alert": "Kept", "expr": "up == 0", "annotations": {"a": "{{ $value }}"}},
                        {"alert": "LeftOut", "expr": "up == 0"},
                    ],
                }
            ]
        }
    ),
    "dashboards/sample.json": '{"title": "{{ sample }}"}',
}
