"""The command line: one module per noun, all of them clients of the HTTP API.

Heavy imports (the HTTP client, tables, settings) stand in the functions that need them, because
a script may call `rqube submit` many times.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process, and leave with its exit status."""
    from rqube.cli import app  # noqa: PLC0415  # importing rqube.cli must cost nothing

    app.run()
