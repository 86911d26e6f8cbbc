"""What is written in two places says the same in both; each fact has one source, named here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rqube import errors, jobs, schedules
from rqube.cli.app import app
from rqube.settings import PREFIX, Settings
from rqube.store import schema
from rqube_api.pages import shapes

ROOT = Path(__file__).parents[2]

# The columns that hold one of a closed set, and the enumeration that says what each member means.
CLOSED_SETS: Mapping[str, type[StrEnum]] = {
    "attempts.outcome": jobs.AttemptOutcome,
    "jobs.state": jobs.JobState,
    "occurrences.outcome": schedules.OccurrenceOutcome,
    "schedules.missed_runs": schedules.MissedRuns,
    "schedules.overlap": schedules.Overlap,
    "tasks.lane": jobs.Lane,
}

TABLE = re.compile(r"(?:CREATE TABLE|ALTER TABLE)(?: IF NOT EXISTS)? (\w+)")
ONE_OF = re.compile(r"CHECK\s*\(\s*(\w+)\s+IN\s*\(([^)]*)\)\s*\)")
MOVE = re.compile(r"OLD\.state\s*(= '\w+'|IN \([^)]*\))\s*AND NEW\.state\s*(= '\w+'|IN \([^)]*\))")
HAS_END = re.compile(r"\(\(state IN \(([^)]*)\)\) = \(finished_at IS NOT NULL\)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
# What a path follows is Helm's: `helm install rqube charts/rqube`.
COMMAND = re.compile(r"(?:^|[`/ ])(?<!from )rqube (?![a-z-]+/)([a-z][a-z-]*)", re.MULTILINE)
DRAWN = re.compile(r"^((?:│   )*[├└]── )(\w+)", re.MULTILINE)
PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)
QUOTED = re.compile(r"'(\w+)'")

# Settings of the tests themselves.
TEST_PREFIX = f"{PREFIX}TEST_"


class TestClosedSets:
    def test_are_the_same_in_python_and_in_sql(self) -> None:
        """A state that one side does not know is refused, or stays where nobody looks."""
        in_sql = _closed_sets_in_sql()

        assert in_sql == {
            column: {member.value for member in members} for column, members in CLOSED_SETS.items()
        }

    def test_legal_moves_are_the_same_in_python_and_in_sql(self) -> None:
        """The trigger refuses what the table `MOVES` does not hold, and nothing else."""
        trigger = _latest("CREATE TRIGGER jobs_legal_moves", "EXECUTE FUNCTION")
        in_sql: dict[str, set[str]] = {state.value: set() for state in jobs.JobState}
        for before, after in MOVE.findall(trigger):
            for state in QUOTED.findall(before):
                in_sql[state].update(QUOTED.findall(after))

        assert in_sql == {
            state.value: {after.value for after in moves} for state, moves in jobs.MOVES.items()
        }

    def test_final_states_are_the_same_in_python_and_in_sql(self) -> None:
        """A job has an end in exactly the final states."""
        constraint = HAS_END.findall(_all_sql())[-1]

        assert set(QUOTED.findall(constraint)) == {state.value for state in jobs.FINAL}

    def test_members_say_what_they_mean(self) -> None:
        """Every member of a closed set has a sentence beside it."""
        sources = (ROOT / "rqube" / name for name in ("jobs.py", "schedules.py"))
        text = "\n".join(path.read_text(encoding="utf-8") for path in sources)

        silent = [
            f"{members.__name__}.{member.name}"
            for members in CLOSED_SETS.values()
            for member in members
            if not re.search(rf'    {member.name} = "{member.value}"  #: \S', text)
        ]

        assert silent == []


class TestPages:
    def test_have_a_look_for_every_member(self) -> None:
        """A state that the pages do not know is an error at the first job in it."""
        assert set(shapes.JOBS) == set(jobs.JobState)
        assert set(shapes.ATTEMPTS) == set(jobs.AttemptOutcome)
        assert set(shapes.OCCURRENCES) == set(schedules.OccurrenceOutcome)

    def test_have_a_colour_for_every_tone(self) -> None:
        """A tone is a class of the style sheet."""
        sheet = _text("services/api/rqube_api/static/rqube.css")
        looks: list[Mapping[Any, tuple[str, str]]] = [
            shapes.JOBS,
            shapes.ATTEMPTS,
            shapes.OCCURRENCES,
            shapes.SQUARES,
        ]

        tones = {tone for look in looks for _, tone in look.values()}

        assert {tone for tone in tones if f"\n.{tone} " not in sheet} == set()


class TestErrors:
    def test_are_drawn_as_they_derive(self) -> None:
        """The tree at the head of `rqube/errors.py` is what a reader believes."""
        drawn = {}
        above = ["RqubeError"]
        for branch, name in DRAWN.findall(errors.__doc__ or ""):
            depth = len(branch) // 4
            above[depth:] = [name]
            drawn[name] = above[depth - 1]

        assert drawn == {
            error.__name__: error.__bases__[0].__name__
            for error in vars(errors).values()
            if isinstance(error, type)
            and issubclass(error, errors.RqubeError)
            and error is not errors.RqubeError
        }


class TestDependencies:
    def test_are_all_locked(self) -> None:
        """A requirement that the lock lacks would be installed unchecked, or not at all."""
        locked = dict(PIN.findall(_text("requirements.lock")))

        unlocked = [
            str(requirement)
            for requirement in _requirements()
            if (version := locked.get(canonicalize_name(requirement.name))) is None
            or version not in requirement.specifier
        ]

        assert unlocked == [], "run `make lock`"

    def test_are_locked_without_addresses(self) -> None:
        """Packages come from wherever the reader gets packages; the hashes make them the same."""
        assert "://" not in _text("requirements.lock")

    def test_are_locked_for_the_oldest_python(self) -> None:
        """The lock, the linter and the product begin at the same version of Python."""
        oldest = _project()["project"]["requires-python"].removeprefix(">=")

        assert f"--python-version {oldest} " in _text("Makefile")


class TestDocuments:
    @pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
    def test_name_only_commands_that_exist(self, name: str) -> None:
        """The Makefile is the only list of developer commands."""
        targets = set(re.findall(r"^([a-z-]+):", _text("Makefile"), re.MULTILINE))

        mentioned = set(re.findall(r"(?:`|^ *)make ([a-z-]+)", _text(name), re.MULTILINE))

        assert mentioned - targets == set()

    def test_name_only_rqube_commands_that_exist(self) -> None:
        """What a reader types must be there."""
        program = typer.main.get_command(app)
        assert isinstance(program, typer.core.TyperGroup)

        code = [part for text in _documents() for part in CODE.findall(text)]
        mentioned = set(COMMAND.findall("\n".join([*code, _text("Makefile")])))

        assert mentioned - program.commands.keys() == set()

    def test_name_only_settings_that_exist(self) -> None:
        """`rqube/settings.py` is the only list of settings."""
        known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}

        mentioned = {
            setting.removesuffix("_FILE")
            for setting in re.findall(rf"\b{PREFIX}[A-Z][A-Z_]*[A-Z]\b", "\n".join(_documents()))
            if not setting.startswith(TEST_PREFIX)
        }

        assert mentioned - known == set()


def _documents() -> Iterator[str]:
    """What people read."""
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        yield _text(path)


def _closed_sets_in_sql() -> dict[str, set[str]]:
    found = {}
    for migration in schema.files():
        tables = [(match.start(), match[1]) for match in TABLE.finditer(migration.sql)]
        for check in ONE_OF.finditer(migration.sql):
            table = [name for start, name in tables if start < check.start()][-1]
            found[f"{table}.{check[1]}"] = set(QUOTED.findall(check[2]))
    return found


def _latest(beginning: str, end: str) -> str:
    """The last place in the migrations from one text to the next occurrence of another."""
    text = _all_sql()
    start = text.rindex(beginning)
    return text[start : text.index(end, start)]


def _all_sql() -> str:
    return "\n".join(migration.sql for migration in schema.files())


def _requirements() -> Iterator[Requirement]:
    project = _project()
    groups: Iterable[Iterable[str]] = [
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    for group in groups:
        yield from map(Requirement, group)


def _project() -> dict[str, Any]:
    return tomllib.loads(_text("pyproject.toml"))


def _text(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
