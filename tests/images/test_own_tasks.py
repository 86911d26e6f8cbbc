"""What docs/how-to/own-tasks-image.md says, done to the letter."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.images import container
from tests.images.conftest import TAG
from tests.images.container import ROOT, Image

pytestmark = pytest.mark.timeout(600)  # The first test of a run builds the images.

GUIDE = ROOT / "docs" / "how-to" / "own-tasks-image.md"
FILE = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

LIST_TASKS = """
from rqube.settings import Settings
from rqube.tasks import catalogue

tasks = catalogue.load(Settings.load().tasks)
print(*tasks)
print(tasks["report.build"].function(7))
"""


@pytest.mark.usefixtures("images")
class TestAnImageOfOnesOwnTasks:
    @pytest.mark.parametrize("way", [0, 1], ids=["on top", "from a stage"])
    def test_runs_them_beside_the_built_in_ones(
        self, builder: Path, tmp_path: Path, way: int
    ) -> None:
        """Both ways of the guide give an image that knows the task and its packages."""
        _write_package(tmp_path, dockerfile=_files("Dockerfile")[way])

        image = _build(builder, tmp_path)

        names, report = image.run("python", "-c", LIST_TASKS).split("\n", maxsplit=1)
        assert {"report.build", "url.length"} <= set(names.split())
        assert "customer  7" in report
        assert image.config["User"] == "10001:10001"
        assert image.config["Cmd"] == ["worker"]

    def test_finds_modules_that_a_setting_names(self, builder: Path, tmp_path: Path) -> None:
        """A package without an entry point is found by `RQUBE_TASKS`."""
        dockerfile = _files("Dockerfile")[0] + "ENV RQUBE_TASKS=shop.jobs\n"
        _write_package(tmp_path, dockerfile=dockerfile)
        project = tmp_path / "pyproject.toml"
        text = project.read_text(encoding="utf-8")
        project.write_text(text.partition("[project.entry-points")[0], encoding="utf-8")

        image = _build(builder, tmp_path)

        assert "report.build" in image.run("python", "-c", LIST_TASKS)

    def test_is_refused_when_it_would_change_what_rqube_was_tested_with(
        self, builder: Path, tmp_path: Path
    ) -> None:
        """A worker with other versions than the lock names is one that nobody has tried."""
        _write_package(tmp_path, dockerfile=_files("Dockerfile")[0])
        project = tmp_path / "pyproject.toml"
        text = project.read_text(encoding="utf-8")
        project.write_text(text.replace('"tabulate"', '"httpx<0.28.1"'), encoding="utf-8")

        with pytest.raises(subprocess.CalledProcessError) as error:
            _build(builder, tmp_path)

        assert "ResolutionImpossible" in error.value.stderr


def _files(name: str) -> list[str]:
    found = [text for path, text in FILE.findall(_guide()) if path == name]
    assert found, f"{GUIDE} shows no {name}"
    return found


def _guide() -> str:
    return GUIDE.read_text(encoding="utf-8")


def _write_package(folder: Path, *, dockerfile: str) -> None:
    files: Mapping[str, str] = {
        "pyproject.toml": _files("pyproject.toml")[0],
        "shop/__init__.py": "",
        "shop/jobs.py": _files("shop/jobs.py")[0],
        "Dockerfile": dockerfile.replace("rqube-worker:dev", f"localhost/rqube-worker:{TAG}"),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def _build(builder: Path, folder: Path) -> Image:
    file = folder / "Dockerfile"
    return container.build(builder, f"rqube-shop:{TAG}", folder, "--file", str(file))
