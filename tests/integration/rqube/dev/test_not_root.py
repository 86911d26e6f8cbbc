from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import accounts

TESTS = ["test_homes.py", "test_postgres.py", "test_valkey.py"]


@pytest.mark.skipif(os.geteuid() != 0, reason="this run is not root already")
def test_the_servers_also_run_for_an_ordinary_user(open_folder: Path) -> None:
    """The same tests run once more as nobody, who owns nothing but a folder."""
    folder = accounts.folder_of_nobody(open_folder)
    python, environment = accounts.python_for_nobody(open_folder)

    done = subprocess.run(
        [
            *(python, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--basetemp", str(folder / "pytest")),
            *(str(Path(__file__).with_name(name)) for name in TESTS),
        ],
        cwd=accounts.REPOSITORY,
        env=environment,
        **accounts.AS_NOBODY,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
