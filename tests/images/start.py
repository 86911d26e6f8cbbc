"""Starts the container's service, asks it for its life and its metrics, and ends it.

Runs in the container: `python -m tests.images.start api`. Writes one JSON document.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request

from tests.waiting import wait_until

METRICS = "http://127.0.0.1:9100/metrics"
API = "http://127.0.0.1:8000/livez"


def main(service: str) -> None:
    """Write how long the service took to answer, its metrics, and its exit status."""
    begin = time.monotonic()
    address = API if service == "api" else METRICS
    with subprocess.Popen(["rqube", service], stdout=subprocess.DEVNULL) as process:
        wait_until(lambda: _get(address), within=30, otherwise=f"an answer of {service}")
        seconds = time.monotonic() - begin
        metrics = _get(METRICS)
        process.terminate()
        status = process.wait(30)
    json.dump({"seconds": seconds, "metrics": metrics, "status": status}, sys.stdout)


def _get(address: str) -> str:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - one of the two
            return str(answer.read(), "utf-8")
    except urllib.error.URLError:
        return ""


if __name__ == "__main__":
    main(sys.argv[1])
