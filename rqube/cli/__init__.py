"""The command line: one module per noun, all of them clients of the HTTP API.

Heavy imports (the HTTP client, tables, settings) stand in the functions that need them, because
a script may call `rqube submit` many times.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the command line of this process, and leave with its exit status."""
    # The first process of a container does not hear a signal that it has no handler for: told to
    # stop while it still imports, it would be killed at the end of its grace period, minutes later.
    signal.signal(signal.SIGTERM, _leave)
    from rqube.cli import app  # noqa: PLC0415  # importing rqube.cli must cost nothing

    app.run()


def _leave(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
