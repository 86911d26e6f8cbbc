from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pydantic
import pytest

from rqube.tasks import catalogue, demo
from rqube.tasks.task import task


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module of a user, importable by name."""
    made = ModuleType("a_users_tasks")
    sys.modules[made.__name__] = made
    yield made
    del sys.modules[made.__name__]


class TestLoad:
    def test_finds_the_built_in_tasks(self) -> None:
        """Installed packages bring their tasks without a setting."""
        assert set(catalogue.load(())) >= {"demo.noop", "demo.fail", "demo.long", "url.length"}

    def test_finds_the_tasks_of_named_modules(self, module: ModuleType) -> None:
        """`RQUBE_TASKS` names modules; what they hold beside tasks is left alone."""
        mine = task("users.own")(lambda: None)
        vars(module).update(mine=mine, other=len, text="users.text")

        tasks = catalogue.load([module.__name__])

        assert tasks["users.own"] is mine
        assert "users.text" not in tasks
        assert list(tasks) == sorted(tasks)

    def test_takes_a_task_that_several_modules_hold(self, module: ModuleType) -> None:
        """An import of a task into another module declares nothing."""
        vars(module).update(again=demo.noop)

        assert catalogue.load([module.__name__, "rqube.tasks.demo"])["demo.noop"] is demo.noop

    def test_refuses_two_tasks_of_one_name(self, module: ModuleType) -> None:
        """Which of them ran would depend on the order of imports."""
        vars(module).update(mine=task("demo.noop")(lambda: None))

        with pytest.raises(catalogue.DuplicateTask, match=r"'demo\.noop'"):
            catalogue.load([module.__name__])

    def test_fails_on_a_module_that_is_not_there(self) -> None:
        """A worker without its tasks would refuse every job; better that it does not start."""
        with pytest.raises(ImportError, match="no_such_module"):
            catalogue.load(["no_such_module"])


class TestVersion:
    def test_is_that_of_the_distribution(self) -> None:
        """The newest registration of a task says what was released."""
        made = task("users.installed")(lambda: None)
        made.function.__module__ = "pydantic.main"

        assert catalogue.version(made) == pydantic.VERSION

    def test_is_0_for_code_that_is_not_installed(self) -> None:
        """A script has no version."""
        made = task("users.script")(lambda: None)
        made.function.__module__ = "__main__"

        assert catalogue.version(made) == "0"
