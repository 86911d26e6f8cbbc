from __future__ import annotations

import subprocess
import sys

STOPPED_WHILE_IMPORTING = """
import signal, sys
from rqube import cli

class Stop:
    def find_spec(self, name, path, target=None):
        if name == "rqube.cli.app":
            signal.raise_signal(signal.SIGTERM)

sys.meta_path.insert(0, Stop())
cli.main()
"""


class TestMain:
    def test_hears_a_signal_before_it_has_imported_anything(self) -> None:
        """As process 1 of a container it would not, without a handler of its own."""
        done = subprocess.run([sys.executable, "-c", STOPPED_WHILE_IMPORTING], check=False)

        assert done.returncode == 128 + 15
