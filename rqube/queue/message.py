"""The RQ job that stands for a job of ours: JSON that names the job, never code to run."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

ENTRY_POINT = "rqube.execution.run_queued"
LONGEST_DESCRIPTION = 200
IMPORT_SECONDS = 60
MOST_BYTES = 4096
"""A message of ours is far smaller; what is larger is not ours."""


def data(job_id: str) -> bytes:
    """Encode what RQ's JSON serializer reads: function, instance, arguments."""
    text = f'["{ENTRY_POINT}", null, ["{job_id}"], {{}}]'
    # Stored, not squeezed: shorter text than zlib's table of codes, and a third of the time.
    return zlib.compress(text.encode(), 0)


def is_ours(raw: bytes) -> bool:
    """Tell whether the data of an RQ job is a message of ours; reads at most 4 KiB of it."""
    if len(raw) > MOST_BYTES:
        return False
    try:
        text = zlib.decompressobj().decompress(raw, MOST_BYTES)
        function = json.loads(text)[0]
    except (zlib.error, ValueError, LookupError, TypeError, RecursionError):
        return False
    return bool(function == ENTRY_POINT)


def description(task: str, params: Mapping[str, Any]) -> str:
    """Say in one line what a job does: the task and its parameters."""
    if not params:
        return f"{task}()"
    given = ", ".join(f"{name}={value!r}" for name, value in params.items())
    text = f"{task}({given})"
    return text if len(text) <= LONGEST_DESCRIPTION else text[: LONGEST_DESCRIPTION - 1] + "…"


def exception(text: str) -> str:
    """Encode an error as RQ's results hold it; nothing stays nothing."""
    return base64.b64encode(zlib.compress(text.encode())).decode() if text else ""


def timeout(seconds: float) -> int:
    """Give RQ's whole seconds of time limit, which a stock worker counts from its fork.

    So it includes the import of the tasks; `run_queued` keeps to the job's own limit.
    """
    return math.ceil(seconds) + IMPORT_SECONDS


def moment(when: datetime) -> str:
    """Write an aware UTC time as RQ does."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
