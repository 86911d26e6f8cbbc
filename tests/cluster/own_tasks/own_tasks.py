"""Tasks of somebody who uses rqube, for tests on a cluster."""

from __future__ import annotations

import time
from datetime import timedelta

from rqube import task


@task("own.hog", lane="process", max_attempts=1)
def hog(mebibytes: int) -> int:
    """Use so much memory."""
    return len(bytearray(mebibytes * 1024 * 1024))


@task("own.quiet", lane="process", timeout=timedelta(minutes=5))
def quiet(seconds: float) -> float:
    """Do nothing for so long, in a child."""
    time.sleep(seconds)
    return seconds
