from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from rqube.dev import binaries, processes
from rqube.dev.errors import NotInstalled
from rqube.dev.homes import Account
from rqube.dev.processes import Program

PACKAGES = [binaries.POSTGRES, binaries.VALKEY]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to choose")


@pytest.fixture
def nobody() -> Account:
    entry = pwd.getpwnam("nobody")
    return Account(uid=entry.pw_uid, gid=entry.pw_gid)


class TestFind:
    @pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.distribution)
    def test_gives_the_installed_program_when_it_can_be_reached(
        self, package: binaries.Package, tmp_path: Path
    ) -> None:
        """Nothing is copied without need."""
        program = binaries.find(package, account=None, shared=tmp_path)

        assert "site-packages" in program.parts
        assert os.access(program, os.X_OK)
        assert list(tmp_path.iterdir()) == []

    @needs_root
    @pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.distribution)
    def test_copies_a_package_that_the_account_cannot_reach(
        self, package: binaries.Package, closed_site: Path, open_folder: Path, nobody: Account
    ) -> None:
        """A clone below /root is closed to the account, even with a umask that closes all."""
        shared = open_folder / "shared"

        program = binaries.find(package, account=nobody, shared=shared)

        assert shared in program.parents
        assert closed_site not in program.parents
        processes.run(
            Program(
                name="probe", command=(str(program), "--version"), account=nobody, folder=shared
            )
        )

    @needs_root
    def test_uses_the_copy_that_is_there(
        self, closed_site: Path, open_folder: Path, nobody: Account
    ) -> None:
        """The copy is made once for each version."""
        first = binaries.find(binaries.VALKEY, account=nobody, shared=open_folder)
        made = first.stat().st_ctime_ns

        second = binaries.find(binaries.VALKEY, account=nobody, shared=open_folder)

        assert second == first
        assert closed_site not in second.parents
        assert second.stat().st_ctime_ns == made
        assert len(list(open_folder.iterdir())) == 1

    def test_says_which_package_is_missing(self) -> None:
        """The servers are an extra; without it the message says what to install."""
        missing = replace(binaries.POSTGRES, distribution="no-such-package")

        with pytest.raises(NotInstalled, match=r"no-such-package is not installed.*rqube\[dev\]"):
            binaries.find(missing, account=None)

    @pytest.fixture
    def closed_site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """The packages, installed where only root can go."""
        site = tmp_path / "site-packages"
        for package in PACKAGES:
            installed = binaries.find(package, account=None)
            top = installed.parents[len(Path(package.program).parts) - 1]
            name = Path(package.program).parts[0]
            for part in top.glob(f"{name}*"):
                shutil.copytree(part, site / part.name, symlinks=True, dirs_exist_ok=True)
        site.chmod(0o700)
        monkeypatch.syspath_prepend(site)
        return site
