"""Where a server keeps its data, and which account it runs as.

Postgres refuses to run as root. Not root, a server runs as ourselves in `.rqube/<name>`. As root
it runs as `nobody`, which reaches few folders; so its own is made below `/var/lib/rqube`, and
`.rqube/<name>` is a link to it. No folder that was there before is changed.
"""

from __future__ import annotations

import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rqube.dev.errors import ForeignFolder

SHARED = Path("/var/lib/rqube")
UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user of this machine, other than root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The folder of one server."""

    folder: Path
    """Owned by the account, closed to everyone else."""
    account: Account | None
    """None: the server runs as ourselves."""


def find(link: Path, *, shared: Path = SHARED) -> Home:
    """Give the home of the server whose data are found at `link`; make it the first time.

    As root a folder that a user made before is used as that user.

    Raises:
        ForeignFolder: the server cannot run as the owner of what is there.
    """
    if os.geteuid() != 0:
        link.mkdir(mode=0o700, exist_ok=True)
        account = None
    else:
        if not link.exists():
            _make(link, shared)
        account = _owner(link)
    if not os.access(link, os.R_OK | os.W_OK | os.X_OK):
        raise ForeignFolder(link, owner="another user")
    return Home(folder=link.resolve(), account=account)


def make_reachable(folder: Path) -> None:
    """Create a folder and its missing parents, open to all for reading whatever the umask."""
    if folder.is_dir():
        return
    make_reachable(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def _make(link: Path, shared: Path) -> None:
    make_reachable(shared)
    parent = Path(tempfile.mkdtemp(dir=shared, prefix="data-"))
    parent.chmod(0o711)
    folder = parent / link.name
    folder.mkdir(mode=0o700)
    nobody = pwd.getpwnam(UNPRIVILEGED)
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    link.unlink(missing_ok=True)  # a link to a folder that was removed
    link.symlink_to(folder)


def _owner(link: Path) -> Account:
    status = link.stat()
    if status.st_uid == 0:
        raise ForeignFolder(link, owner="root")
    return Account(uid=status.st_uid, gid=status.st_gid)
