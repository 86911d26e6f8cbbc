"""Writes the files of rules and dashboards that the chart carries.

`python -m charts.monitoring` writes them; with `--check` it writes nothing, and fails when a file
differs from the code or is none of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from charts.monitoring import grafana, queries, rules

CHART = Path(__file__).parents[1] / "rqube"
FOLDERS = ("rules", "dashboards")
NOTICE = "# Made from charts/monitoring by `make dashboards`; edit the code instead.\n"
COLUMNS = 96


def main(arguments: Sequence[str]) -> int:
    """Write the files, or check them; give the exit status."""
    wanted = files()
    if arguments == ["--check"]:
        stale = [name for name in wanted.keys() | _there() if wanted.get(name) != _written(name)]
        for name in sorted(stale):
            sys.stderr.write(f"charts/rqube/{name} differs from the code: run `make dashboards`.\n")
        return 1 if stale else 0
    for name in _there() - wanted.keys():
        (CHART / name).unlink()
    for name, text in wanted.items():
        path = CHART / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


def files() -> dict[str, str]:
    """Give the text of each file by its path in the chart."""
    written = {
        f"rules/{name}": NOTICE + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=COLUMNS)
        for name, content in rules.files().items()
    }
    for dashboard in queries.DASHBOARDS:
        text = json.dumps(grafana.render(dashboard), indent=1)
        written[f"dashboards/{dashboard.uid}.json"] = f"{text}\n"
    return written


class _Dumper(yaml.SafeDumper):
    """Writes expressions of several lines as such."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _there() -> set[str]:
    return {f"{folder}/{path.name}" for folder in FOLDERS for path in (CHART / folder).glob("*.*")}


def _written(name: str) -> str:
    path = CHART / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
