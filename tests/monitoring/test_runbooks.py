from __future__ import annotations

import re
from pathlib import Path

import pytest

from charts.monitoring import alert, rules

RUNBOOKS = Path(__file__).parents[2] / alert.RUNBOOKS
PARTS = ["## Meaning", "## Impact", "## First checks", "## What to do", "## How to tell it is over"]
FEWEST_CHECKS = 3
PAGES = sorted(RUNBOOKS.glob("*.md"))


class TestRunbooks:
    def test_are_one_for_each_alert(self) -> None:
        """Whoever is woken finds a page, and no page describes an alert that is gone."""
        assert {path.name for path in PAGES} == {alert.runbook(one.name) for one in rules.ALERTS}

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
    def test_bear_the_name_of_their_alert(self, path: Path) -> None:
        """The title is what the pager shows."""
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")

        assert alert.runbook(title) == path.name
        assert title in {one.name for one in rules.ALERTS}

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
    def test_have_all_parts(self, path: Path) -> None:
        """What is missing is looked for in vain at night."""
        headings = re.findall(r"^## .*$", path.read_text(encoding="utf-8"), re.MULTILINE)

        assert headings == PARTS

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
    def test_begin_with_commands(self, path: Path) -> None:
        """Three checks that can be pasted into a shell."""
        text = path.read_text(encoding="utf-8")
        checks = text[text.index("## First checks") : text.index("## What to do")]
        commands = "\n".join(re.findall(r"```sh\n(.*?)```", checks, re.DOTALL)).splitlines()

        assert len([line for line in commands if not line.startswith("#")]) >= FEWEST_CHECKS
