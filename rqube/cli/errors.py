"""Why a command ends without success.

Failure                  what was asked did not happen; a message and an exit status
├── BadUsage             the command itself was wrong
└── NoAnswer             the api cannot be reached, or is not ready; it may be later
"""

from __future__ import annotations

FAILED = 1
BAD_USAGE = 2
INTERRUPTED = 130  # what shells expect after Ctrl-C


class Failure(Exception):
    """What was asked did not happen; the message says why, in whole sentences."""

    def __init__(self, message: str, *, exit_status: int = FAILED) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class BadUsage(Failure):
    """The command, its parameters or the settings are wrong."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_status=BAD_USAGE)


class NoAnswer(Failure):
    """The api cannot be reached or is not ready; the same request may succeed later."""
