from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rqube.dev import state
from rqube.dev.errors import FolderInUse, FolderUnusable

HOLD = """
import sys, time
from pathlib import Path
from rqube.dev import state
with state.locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


class TestLocked:
    def test_makes_a_closed_folder_that_git_ignores(self, tmp_path: Path) -> None:
        """The folder holds a password."""
        with state.locked(tmp_path / ".rqube"):
            pass

        assert (tmp_path / ".rqube").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / ".rqube" / ".gitignore").read_text() == "*\n"

    def test_refuses_the_second_process_and_names_the_first(self, tmp_path: Path) -> None:
        """Two of them would start two Postgres on the same data."""
        folder = tmp_path / ".rqube"
        with _holder(folder) as holder:
            try:
                with pytest.raises(FolderInUse, match=f"process {holder.pid}") as refused:
                    state.locked(folder).__enter__()
            finally:
                holder.kill()

        assert refused.value.exit_status == 2
        assert str(tmp_path) in str(refused.value)

    def test_ends_with_the_process_that_held_it(self, tmp_path: Path) -> None:
        """A process that was killed holds nothing."""
        folder = tmp_path / ".rqube"
        with _holder(folder) as holder:
            holder.kill()

        with state.locked(folder):
            assert (folder / "lock").read_text().strip() == str(os.getpid())

    def test_says_when_the_folder_cannot_be_made(self, tmp_path: Path) -> None:
        """A file in its place is named in the message."""
        (tmp_path / ".rqube").write_text("")

        with pytest.raises(FolderUnusable, match=r"\.rqube: File exists"):
            state.locked(tmp_path / ".rqube").__enter__()


class TestPassword:
    def test_is_random_kept_and_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        """The second start needs the password with which the data were made."""
        first = state.password(tmp_path)

        assert state.password(tmp_path) == first
        assert len(first) >= 32
        assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600


class TestNewLog:
    def test_is_empty_and_readable_by_its_owner_only(self, tmp_path: Path) -> None:
        """A log of Postgres may hold what statements hold."""
        (tmp_path / "postgres.log").write_text("of the last run")

        log = state.new_log(tmp_path, "postgres")

        assert log.read_text() == ""
        assert log.stat().st_mode & 0o777 == 0o600


def _holder(folder: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "locked\n"
    return holder
