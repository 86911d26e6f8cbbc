"""What a command shows: lines and tables for people, JSON for programs.

Texts of jobs (errors, results, progress) are other people's, so their control characters are
escaped before a terminal can obey them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import typer

SHORT_ID_CHARACTERS = 8
NOT_A_TERMINAL_COLUMNS = 10_000  # so that nothing is cut where nobody looks

MINUTE, HOUR, DAY = 60, 3_600, 86_400
_STEPS = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s"))

# Control characters but tab and newline, and those that reverse the direction of text
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def say(text: str) -> None:
    """Write a line of the answer."""
    typer.echo(safe(text))


def note(text: str) -> None:
    """Write a line for people beside the answer, where no script reads it."""
    typer.echo(safe(text), err=True)


def complain(text: str) -> None:
    """Write why the command failed."""
    typer.secho(safe(text), err=True, fg=typer.colors.RED)


def document(value: object) -> None:
    """Write JSON for programs."""
    typer.echo(json.dumps(value, indent=2))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Write a table, or the sentence that says that there is nothing."""
    from rich.console import Console  # noqa: PLC0415  # slow to import; `--json` needs no table
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cells = [[Text(safe(_cell(value))) for value in row] for row in rows]
    if not cells:
        note(empty)
        return
    shown = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in cells:
        shown.add_row(*row)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=NOT_A_TERMINAL_COLUMNS)
    console.print(shown)


def fields(values: Mapping[str, object]) -> None:
    """Write names and values, one a line; what is empty is left out."""
    width = max(map(len, values), default=0)
    for name, value in values.items():
        if value not in (None, "", [], {}):
            say(f"{name:{width}}  {_cell(value)}")


def result(value: object) -> None:
    """Write what a job returned: `name: value` lines of an object, else the value itself."""
    if isinstance(value, dict):
        for name, item in value.items():
            say(f"{name}: {_cell(item)}")
    else:
        say(_cell(value))


def short(identifier: str | None) -> str:
    """Shorten an id as the pages do."""
    return (identifier or "")[-SHORT_ID_CHARACTERS:]


def local_time(text: str | None) -> str:
    """Show a time of the api in this machine's time zone."""
    if not text:
        return ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds_between(start: str | None, end: str | None) -> str:
    """Show how long something took; nothing when it has not ended."""
    if not start or not end:
        return ""
    return seconds((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def seconds(value: float | None) -> str:
    """Show a duration: `120 ms`, `3.4 s`, `5 min 7 s`, `2 h 5 min`, `3 d`."""
    if value is None:
        return ""
    if value < MINUTE:
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.3g} s"
    whole = round(value)
    big, unit, small, rest = next(step for step in _STEPS if whole >= step[0])
    left = whole % big // small
    return f"{whole // big} {unit} {left} {rest}" if left else f"{whole // big} {unit}"


def safe(text: str) -> str:
    """Escape what a terminal would obey instead of showing."""
    return _OBEYED.sub(lambda match: ascii(match.group())[1:-1], text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
