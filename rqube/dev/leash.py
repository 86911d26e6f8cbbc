"""Turn into a program that ends when its parent ends: `leash.py PARENT SIGNAL UID:GID COMMAND…`.

Run as a file by an isolated interpreter (`python -I -S`), because between fork and exec of a
process with threads only C may run. It changes its user (`-` keeps it), ties itself to the parent
and then *becomes* the command, so the process id stays. In this order, because Linux forgets the
tie when the user changes. Linux also ties to the parent's *thread*: start children from the main
thread. Where there is no such tie (macOS) only an orderly end takes the child along.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
CANNOT_EXECUTE = 126
"""The status by which shells say that a command was found and could not be executed."""


def main(arguments: list[str]) -> None:
    """Become the command; return only if the parent is already gone."""
    parent, death_signal, account, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if account != "-":
        user, group = account.split(":")
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if sys.platform == "linux" and libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):  # it ended before the tie was made
        return
    os.execv(command[0], command)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"cannot start {sys.argv[4]}: {error}\n")
        sys.exit(CANNOT_EXECUTE)
