from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from rqube.dev import homes
from rqube.dev.errors import ForeignFolder

NOBODY = pwd.getpwnam("nobody")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to choose")
needs_user = pytest.mark.skipif(os.geteuid() == 0, reason="test_not_root.py runs this as nobody")


@needs_root
class TestFindAsRoot:
    def test_makes_a_folder_of_the_unprivileged_account_and_a_link_to_it(
        self, tmp_path: Path, open_folder: Path
    ) -> None:
        """The account cannot reach the folder we are in, so its data lie elsewhere."""
        home = homes.find(tmp_path / "postgres", shared=open_folder / "shared")

        assert home.account == homes.Account(uid=NOBODY.pw_uid, gid=NOBODY.pw_gid)
        assert (tmp_path / "postgres").readlink() == home.folder
        assert home.folder.stat().st_uid == NOBODY.pw_uid
        assert home.folder.stat().st_mode & 0o777 == 0o700

    def test_finds_the_same_folder_again(self, tmp_path: Path, open_folder: Path) -> None:
        """The second start must find the first one's data."""
        first = homes.find(tmp_path / "postgres", shared=open_folder)

        assert homes.find(tmp_path / "postgres", shared=open_folder) == first

    def test_replaces_a_link_whose_folder_was_removed(
        self, tmp_path: Path, open_folder: Path
    ) -> None:
        """Removing the data is a way to begin anew."""
        first = homes.find(tmp_path / "postgres", shared=open_folder)
        first.folder.rmdir()

        second = homes.find(tmp_path / "postgres", shared=open_folder)

        assert second.folder != first.folder
        assert second.folder.is_dir()

    def test_runs_as_the_user_who_made_the_folder_before(
        self, open_folder: Path, tmp_path: Path
    ) -> None:
        """`sudo rqube dev` in a folder where the user ran it before uses the user's data."""
        folder = open_folder / "postgres"
        folder.mkdir()
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)

        home = homes.find(folder, shared=tmp_path / "unused")

        assert home.folder == folder
        assert home.account == homes.Account(uid=NOBODY.pw_uid, gid=NOBODY.pw_gid)
        assert not (tmp_path / "unused").exists()

    def test_refuses_a_folder_of_root(self, tmp_path: Path) -> None:
        """Nothing that exists is given to another user."""
        (tmp_path / "postgres").mkdir()

        with pytest.raises(ForeignFolder, match="belongs to root"):
            homes.find(tmp_path / "postgres", shared=tmp_path)

    @pytest.mark.parametrize("umask", [0o022, 0o077])
    def test_can_be_entered_by_the_account_whatever_the_umask(
        self, tmp_path: Path, open_folder: Path, umask: int
    ) -> None:
        """The folders above the data are made by us and must let the server through."""
        before = os.umask(umask)
        try:
            home = homes.find(tmp_path / "postgres", shared=open_folder / "var" / "rqube")
        finally:
            os.umask(before)

        above = [folder for folder in home.folder.parents if open_folder in folder.parents]
        assert len(above) == 3
        assert all(folder.stat().st_mode & 0o001 for folder in above)

    def test_changes_no_folder_that_was_there_before(
        self, tmp_path: Path, open_folder: Path
    ) -> None:
        """Neither permissions nor owner of any folder above change."""
        folders = [tmp_path, *tmp_path.parents, open_folder, *open_folder.parents]
        before = [_permissions(folder) for folder in folders]

        homes.find(tmp_path / "postgres", shared=open_folder)

        assert [_permissions(folder) for folder in folders] == before


@needs_user
class TestFindAsUser:
    def test_makes_a_closed_folder_in_place(self, tmp_path: Path) -> None:
        """Not root, the server runs as ourselves, where we are."""
        home = homes.find(tmp_path / "postgres", shared=tmp_path / "unused")

        assert home == homes.Home(folder=tmp_path / "postgres", account=None)
        assert home.folder.stat().st_mode & 0o777 == 0o700
        assert not (tmp_path / "unused").exists()

    def test_refuses_a_folder_that_it_cannot_write(self, closed_folder: Path) -> None:
        """What `sudo rqube dev` left behind is named, and not a traceback."""
        with pytest.raises(ForeignFolder, match="belongs to another user"):
            homes.find(closed_folder)

    @pytest.fixture
    def closed_folder(self, tmp_path: Path) -> Iterator[Path]:
        """A folder that its user may not write."""
        folder = tmp_path / "postgres"
        folder.mkdir(mode=0o500)
        yield folder
        folder.chmod(0o700)


def _permissions(folder: Path) -> tuple[int, int, int]:
    status = folder.stat()
    return status.st_mode, status.st_uid, status.st_gid
