"""Writes docs/reference from the code, so that no name, default or sentence is said twice.

`python docs/generate.py` writes the pages; with `--check` it writes nothing, and fails when a
page differs from the code.
"""

# ruff: noqa: INP001 - a script beside the pages it writes, no package

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from rqube import metrics
from rqube.cli.app import app
from rqube.settings import PREFIX, Settings
from rqube.tasks import builtin, catalogue

FOLDER = Path(__file__).parent / "reference"
HELP_COLUMNS = 88
NOTICE = "<!-- Made from the code by `make docs`; edit the code instead. -->"


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them; give the exit status."""
    if arguments == ["--check"]:
        stale = [name for name, text in pages().items() if _written(name) != text]
        for name in stale:
            sys.stderr.write(f"docs/reference/{name} differs from the code: run `make docs`.\n")
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    return 0


def pages() -> dict[str, str]:
    """Give the text of each page by its file name."""
    return {
        "cli.md": _page(_command_line()),
        "metrics.md": _page(_metrics()),
        "settings.md": _page(_settings()),
        "tasks.md": _page(_tasks()),
    }


def _written(name: str) -> str:
    page = FOLDER / name
    return page.read_text(encoding="utf-8") if page.exists() else ""


def _page(lines: Iterable[str]) -> str:
    return "\n".join([NOTICE, "", *lines]) + "\n"


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield ""
    yield "All come from the environment. A secret may come as a file instead: the variable's name"
    yield f"with `_FILE` behind it, such as `{PREFIX}POSTGRES_URL_FILE`, names the file."
    yield ""
    schema = Settings.model_json_schema()
    rows = []
    for name, field in schema["properties"].items():
        default = field["default"]
        shown = ",".join(default) if isinstance(default, list) else default
        rows.append([f"`{PREFIX}{name.upper()}`", _type(field), _code(shown), field["description"]])
    yield from _table(["Variable", "Value", "Default", "What it is"], rows)


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield f"Served as `/metrics` on `{PREFIX}METRICS_PORT` of each service, in the format of"
    yield "Prometheus and in OpenMetrics."
    yield ""
    declared = metrics.declared()
    rows = [
        [f"`{metric.name}`", metric.kind, ", ".join(map(_code, metric.labels)), metric.help]
        for metric in declared
    ]
    yield from _table(["Name", "Type", "Labels", "What it says"], rows)
    yield ""
    yield "## Buckets"
    yield ""
    rows = [
        [f"`{metric.name}`", " ".join(f"{edge:.15g}" for edge in metric.buckets)]
        for metric in declared
        if metric.buckets
    ]
    yield from _table(["Histogram", "Upper edges"], rows)


def _tasks() -> Iterator[str]:
    yield "# Built-in tasks"
    for task in sorted(catalogue.declared(builtin), key=lambda task: task.name):
        yield ""
        yield f"## {task.name}"
        yield ""
        yield task.description
        yield ""
        yield (
            f"Queue `{task.queue}`, lane `{task.lane}`, time limit "
            f"{task.timeout.total_seconds():g} s, attempts {task.max_attempts}."
        )
        yield ""
        properties = task.params_schema["properties"]
        rows = [
            [
                f"`{name}`",
                _type(field),
                _code(field["default"]) if "default" in field else "required",
            ]
            for name, field in properties.items()
        ]
        if rows:
            yield from _table(["Parameter", "Value", "Default"], rows)
        else:
            yield "No parameters."


def _command_line() -> Iterator[str]:
    yield "# Command line"
    yield from _command(typer.main.get_command(app), name="rqube", parent=None)


def _command(
    command: Any,  # noqa: ANN401  # typer's classes for commands and contexts are private
    *,
    name: str,
    parent: Any,  # noqa: ANN401
) -> Iterator[str]:
    context = command.context_class(
        command,
        info_name=name,
        parent=parent,
        terminal_width=HELP_COLUMNS,
        **command.context_settings,
    )
    yield ""
    yield f"## {context.command_path}"
    yield ""
    yield "```text"
    yield command.get_help(context)
    yield "```"
    for below, subcommand in getattr(command, "commands", {}).items():
        yield from _command(subcommand, name=below, parent=context)


def _type(schema: Mapping[str, Any]) -> str:
    """Say in words what a JSON Schema lets through."""
    if choices := schema.get("enum"):
        return " or ".join(_code(choice) for choice in choices)
    name = {"array": "list, comma separated", "string": "text"}.get(schema["type"], schema["type"])
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{name}, {low:,.15g} to {high:,.15g}"
    if low is not None:
        return f"{name}, {low:,.15g} or more"
    if high := schema.get("maxLength"):
        return f"{name}, at most {high:,} characters"
    return str(name)


def _code(value: object) -> str:
    return f"`{value}`" if value != "" else ""


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (columns, ["---"] * len(columns), *rows):
        cells = [cell.replace("|", r"\|") for cell in row]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
