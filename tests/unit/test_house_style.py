"""The rules of CONTRIBUTING.md that no tool knows; each test lists all that breaks its rule."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from rqube.settings import Settings

ROOT = Path(__file__).parents[2]

MOST_LINES = 400
MOST_TEST_LINES = 400
MOST_SETTINGS = 30

# Folders that tools make, and the history.
NOT_OURS = re.compile(r"^(\.(?!ci$).*|__pycache__|build|dist|node_modules|.*\.egg-info)$")

SAYS_NOTHING = {"util", "common", "helper", "misc", "base", "core"}

# Upper case, as house style writes SQL, and followed by what makes it a statement.
STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT INTO\s|UPDATE\s+\w+\s+SET\s|DELETE FROM\s|WITH\s+\w+\s+AS\s|TRUNCATE\s"
    r"|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|FUNCTION|TRIGGER)\s|LISTEN\s|NOTIFY\s)"
)

# Where users' coroutines are written and run.
MAY_WAIT = ["rqube/tasks/", "rqube/execution.py"]

ELSEWHERE = {
    "a folder outside the repository": re.compile(r"/work/(shared|main)\b"),
    "the number of an issue": re.compile(r"\bissues?\s+#?\d+\b|\(#\d+\)"),
    "the address of a package registry": re.compile(
        r"https?://[\w.-]*\b(pypi|pythonhosted|npmjs|golang|crates|maven|debian)\b"
    ),
}

LUA_KEY = re.compile(r"'(rq(?:ube)?:[a-z-]+)")

PARTS_OF_A_DECISION = ["## Context", "## Decision", "## Consequences", "## Alternatives"]


class TestModules:
    def test_stay_small(self) -> None:
        """A module over the limit hides a concept that deserves a module of its own."""
        limits = [
            ("rqube", MOST_LINES),
            ("services", MOST_LINES),
            ("docs", MOST_LINES),
            ("charts", MOST_LINES),
            ("tests", MOST_TEST_LINES),
        ]

        too_long = [
            f"{_name(path)} has {lines} lines, {most} at most"
            for folder, most in limits
            for path in _files(folder, suffix=".py")
            if (lines := len(_text(path).splitlines())) > most
        ]

        assert too_long == []

    def test_have_names_that_say_something(self) -> None:
        """A name like `util` fits everything, so everything ends up there."""
        paths = [
            path.relative_to(ROOT)
            for path in _files("rqube", "services", "charts/monitoring", "tests")
        ]
        paths = [path for path in paths if path.suffix in {".py", ".lua", ".sql"}]

        nameless = [
            str(path)
            for path in paths
            if any(
                part.split(".")[0].strip("_").removesuffix("s") in SAYS_NOTHING
                for part in path.parts
            )
        ]

        assert nameless == []

    def test_of_the_library_are_synchronous(self) -> None:
        """Users' tasks may be coroutines; the library itself has one colour (decision 0004)."""
        coroutines = [
            f"{_name(path)}:{node.lineno}"
            for path in _files("rqube", suffix=".py")
            if not _name(path).startswith(tuple(MAY_WAIT))
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await)
        ]

        assert coroutines == []

    def test_leave_sql_to_the_store(self) -> None:
        """A statement stands beside the function that runs it, in `rqube/store`."""
        statements = [
            f"{_name(path)}:{node.lineno}"
            for path in _files("rqube", "services", suffix=".py")
            if not _name(path).startswith("rqube/store/")
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and STATEMENT.match(node.value)
        ]

        assert statements == []

    def test_say_first_what_they_are_for(self) -> None:
        """The first line of a Lua script is its sentence, and a list of its keys follows."""
        silent = [
            f"{_name(path)} does not list {key}"
            for path in _files("rqube", "services", suffix=".lua")
            for key in _undeclared_keys(_text(path))
        ]

        assert silent == []


class TestSettings:
    def test_stay_few(self) -> None:
        """Each setting is a question to every operator."""
        assert len(Settings.model_fields) <= MOST_SETTINGS


class TestTests:
    def test_have_a_sentence_each(self) -> None:
        """The docstring states the rule that the test holds."""
        wordless = [
            f"{_name(path)}:{node.lineno} {node.name}"
            for path in _files("tests", suffix=".py")
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not ast.get_docstring(node)
        ]

        assert wordless == []

    def test_wait_in_one_place(self) -> None:
        """What a test sleeps for comes too late on a slow machine and wastes a fast one's time."""
        sleeping = [
            f"{_name(path)}:{node.lineno}"
            for path in _files("tests", suffix=".py")
            if path.name.startswith(("test_", "conftest"))
            for function in ast.walk(_tree(path))
            if isinstance(function, ast.FunctionDef)
            and (function.name.startswith("test_") or _is_fixture(function))
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}
        ]

        assert sleeping == []

    def test_stand_where_the_code_stands(self) -> None:
        """A test of a module has the module's path, so that it is found without a search."""
        unit = ROOT / "tests" / "unit"
        astray = [
            _name(path)
            for path in _files("tests/unit", suffix=".py")
            if path.parent != unit and not _home(path.parent.relative_to(unit)).is_dir()
        ]

        assert astray == []


class TestTheTree:
    def test_refers_to_nothing_that_a_reader_cannot_open(self) -> None:
        """A clone must explain itself; packages come from wherever the reader gets packages."""
        found = [
            f"{_name(path)}:{number} names {what}"
            for path in _files()
            if (text := _text_if_any(path)) is not None
            for what, pattern in ELSEWHERE.items()
            for number, line in enumerate(text.splitlines(), start=1)
            if pattern.search(line)
        ]

        assert found == []

    def test_holds_no_large_files(self) -> None:
        """Third-party code is installed, never copied in."""
        large = [_name(path) for path in _files() if path.stat().st_size > 300 * 1024]

        assert large == []


class TestDecisions:
    def test_have_their_four_parts(self) -> None:
        """Without what was turned down, a decision is made again."""
        incomplete = [
            f"{_name(path)} lacks {part}"
            for path in _files("docs/decisions", suffix=".md")
            for part in PARTS_OF_A_DECISION
            if part not in _text(path).splitlines()
        ]

        assert incomplete == []

    def test_are_numbered_without_gaps(self) -> None:
        """A number names a decision for ever."""
        names = sorted(path.name for path in _files("docs/decisions", suffix=".md"))

        assert [name[:4] for name in names] == [f"{n:04}" for n in range(1, len(names) + 1)]


def _files(*folders: str, suffix: str = "") -> Iterator[Path]:
    """All files of ours below the folders (all, if none is named)."""
    for folder in folders or [""]:
        yield from (path for path in _walk(ROOT / folder) if path.name.endswith(suffix))


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir():
            if not NOT_OURS.match(path.name):
                yield from _walk(path)
        elif not path.is_symlink() and path.name != ".git":  # a file, in a worktree
            yield path


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _text_if_any(path: Path) -> str | None:
    try:
        return _text(path)
    except UnicodeDecodeError:
        return None


def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path))


def _home(folder: Path) -> Path:
    """`rqube/store` for itself, `services/api/rqube_api/pages` for `api/pages`."""
    first, *rest = folder.parts
    return ROOT.joinpath(
        *([first] if first == "rqube" else ["services", first, f"rqube_{first}"]), *rest
    )


def _is_fixture(function: ast.FunctionDef) -> bool:
    return any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list)


def _undeclared_keys(script: str) -> Iterator[str]:
    """The beginnings of Redis keys in a script that its opening comment does not list."""
    lines = script.splitlines()
    code_begins = next(n for n, line in enumerate(lines) if not line.startswith("--"))
    opening, code = lines[:code_begins], "\n".join(lines[code_begins:])
    if "-- Touches:" not in opening:
        yield "`-- Touches:`"
        return
    listed = [key for line in opening if line.startswith("--   rq") for key in _keys(line)]
    for key in sorted(set(LUA_KEY.findall(code))):
        if not any(entry.startswith(key) for entry in listed):
            yield key


def _keys(line: str) -> list[str]:
    """`rq:finished|failed:<queue>` stands for two keys."""
    prefix, _, rest = line.split()[1].partition(":")
    return [f"{prefix}:{name}" for name in rest.split(":")[0].split("|")]
