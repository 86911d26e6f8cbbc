"""docs/faults.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/\S+)::(\w+)::(\w+)`", TEXT)))


class TestFaults:
    def test_are_named(self) -> None:
        """The document has the form that the next test reads."""
        assert len(NAMED) > 30

    @pytest.mark.parametrize(("path", "class_name", "name"), NAMED)
    def test_are_shown_by_tests(self, path: str, class_name: str, name: str) -> None:
        """A test that was renamed would leave a promise behind that nothing holds."""
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        classes = [one for one in tree.body if isinstance(one, ast.ClassDef)]
        tests = {
            function.name
            for one in classes
            if one.name == class_name
            for function in one.body
            if isinstance(function, ast.FunctionDef)
        }

        assert name in tests
