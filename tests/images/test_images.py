"""The images hold what their service needs, run confined, and carry what was locked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.images import container
from tests.images.container import ROOT, Image

pytestmark = pytest.mark.timeout(600)  # The first test of a run builds the images.

PIN = re.compile(r"^([\w.-]+)==([^\s;]+)", re.MULTILINE)
REVISION = re.compile(r'rqube_build_info\{.*revision="([^"]*)"')

COMPILERS = {"as", "c++", "cc", "clang", "cargo", "g++", "gcc", "go", "ld", "make", "rustc"}
PROGRAM_FOLDERS = ("bin", "usr/bin", "usr/local/bin", "opt/rqube/bin")
LEFT_BEHIND = ("build", "wheel", "root/.cache", "tmp/*", "var/lib/apt/lists/*_Packages")

MOST_BYTES = 120_000_000
"""What an image may add to its base, unpacked."""
MOST_IMPORT_SECONDS = 1.5
"""Processor time, on a machine that does other things too."""


class TestImages:
    def test_run_as_a_user_without_rights(self, image: Image) -> None:
        """`runAsNonRoot` needs a number; a name could be anybody."""
        assert image.config["User"] == "10001:10001"

    def test_start_without_a_shell(self, image: Image, service: str) -> None:
        """The signal of the platform must reach our process, and a base may have no shell."""
        assert image.config["Entrypoint"] == ["rqube"]
        assert image.config["Cmd"] == [service]

    def test_say_what_they_are(self, image: Image, service: str) -> None:
        """The labels lead from an image back to its source."""
        labels = image.config["Labels"]

        assert labels["org.opencontainers.image.title"] == f"rqube-{service}"
        assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])

    def test_write_nowhere_but_in_tmp(self, image: Image) -> None:
        """The root is read-only in the cluster, and `HOME` must not be in it."""
        written = image.run(
            "python",
            "-c",
            "import pathlib, tempfile as files; "
            "print(pathlib.Path.home(), files.gettempdir(), files.TemporaryFile().writable())",
        )

        assert written.split() == ["/tmp", "/tmp", "True"]  # noqa: S108 - it is the container's

    def test_hold_what_was_locked_and_nothing_for_developers(
        self, image: Image, service: str, figures: list[str]
    ) -> None:
        """Packages are those of the service, in the versions that were tested, all compiled."""
        module = f"rqube_{service}.__main__"
        contents = json.loads(image.run("python", "-m", "tests.images.contents", module))
        locked = dict(PIN.findall(_text("requirements.lock")))
        packages = {
            str(canonicalize_name(name)): version
            for name, version in contents["packages"].items()
            if name != "rqube"
        }

        assert packages.items() <= locked.items()
        assert packages.keys() & {*_for_developers(), "pip"} <= {NEEDED_BY_UVICORN}
        assert contents["uncompiled"] == []
        seconds = contents["import_seconds"]
        figures.append(f"{service}: import {module} {seconds:.2f} s of processor time")
        assert seconds < MOST_IMPORT_SECONDS

    def test_hold_no_compiler_and_no_cache(self, image: Image) -> None:
        """What only the build needed would be there for an intruder, and pulled by each node."""
        with image.files() as root:
            programs = {path.name for name in PROGRAM_FOLDERS for path in (root / name).glob("*")}
            left = [path for name in LEFT_BEHIND for path in root.glob(name)]

        assert programs & COMPILERS == set()
        assert left == []

    def test_are_small(self, image: Image, service: str, figures: list[str]) -> None:
        """A node that scales up pulls them first."""
        with image.files() as root:
            base, ours = _bytes(root), _bytes(root / "opt" / "rqube")
        packed = sum(image.packed_bytes().values())
        figures.append(
            f"{service}: {base / 1e6:.0f} MB unpacked, {packed / 1e6:.0f} MB packed; "
            f"{ours / 1e6:.0f} MB of it are ours"
        )

        assert ours < MOST_BYTES

    def test_start_with_a_read_only_root(
        self, image: Image, service: str, figures: list[str]
    ) -> None:
        """The service answers without Postgres or Redis, says its revision, and ends in order."""
        answer = json.loads(image.run("python", "-m", "tests.images.start", service))

        revision = REVISION.search(answer["metrics"])
        assert revision
        assert revision[1] == image.config["Labels"]["org.opencontainers.image.revision"]
        assert answer["status"] == 0
        figures.append(f"{service}: {answer['seconds']:.1f} s from start to its first answer")


class TestTheBuild:
    def test_refuses_a_package_that_is_not_the_locked_one(
        self, builder: Path, tmp_path: Path
    ) -> None:
        """Hashes are checked for what we do not name ourselves too: pydantic brings its core."""
        context = tmp_path / "context"
        context.mkdir()
        for name in ("pyproject.toml", "requirements.lock"):
            shutil.copy(ROOT / name, context)
        lock = context / "requirements.lock"
        entry = re.compile(r"^pydantic-core==.*?(?=^\w)", re.MULTILINE | re.DOTALL)
        lock.write_text(
            entry.sub(
                lambda found: re.sub(r"sha256:\w{8}", "sha256:00000000", found[0]),
                lock.read_text(encoding="utf-8"),
            ),
            encoding="utf-8",
        )

        with pytest.raises(subprocess.CalledProcessError) as error:
            container.build(
                builder,
                "rqube-refused:image-tests",
                context,
                *("--file", str(ROOT / "services" / "Dockerfile"), "--target", "dependencies"),
            )

        assert "Hash mismatch for `pydantic-core" in error.value.stderr


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


NEEDED_BY_UVICORN = "pyyaml"
"""Of the tests too, which name what they import."""


def _for_developers() -> set[str]:
    project = tomllib.loads(_text("pyproject.toml"))
    requirements: list[str] = [
        *project["project"]["optional-dependencies"]["dev"],
        *project["dependency-groups"]["checks"],
    ]
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
