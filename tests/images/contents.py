"""Lists what is installed and how it is compiled.

Runs in the container: `python -m tests.images.contents`. Writes one JSON document.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import resource
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

NOT_IMPORTED = re.compile(
    r"/(site-packages|dist-packages|ensurepip|idlelib|test|tkinter|turtledemo)/"
)
"""Parts of the standard library's folder that no service imports."""

RUNS = 5


def main(module: str) -> None:
    """Write the packages, the modules without compiled code, and the cost of an import."""
    library = Path(sysconfig.get_path("stdlib"))
    ours = Path(sysconfig.get_path("purelib"))
    document = {
        "packages": {
            found.metadata["Name"]: found.version
            for found in importlib.metadata.distributions(path=[str(ours)])
        },
        "uncompiled": [
            *_uncompiled(ours),
            *(name for name in _uncompiled(library) if not NOT_IMPORTED.search(name)),
        ],
        "import_seconds": min(_import_seconds(module) for _ in range(RUNS)),
    }
    json.dump(document, sys.stdout)


def _uncompiled(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.py"):
        if not Path(importlib.util.cache_from_source(str(path))).exists():
            yield str(path)


def _import_seconds(module: str) -> float:
    """The processor's time, which other processes on the machine change least."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(sys.argv[1])
