"""Tasks that behave as badly as a task can, for the tests of the worker's lanes."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from rqube import current_job, task

SLEEP_FOR_EVER = ("sleep", "600")
NEVER_ENDS_SECONDS = 600.0

HOARD: list[object] = [None]


@task("tests.echo", lane="process")
def echo(value: str) -> str:
    """Give back what came."""
    return value


@task("tests.coroutine", lane="process")
async def coroutine(value: int) -> int:
    """Give back what came, from a coroutine."""
    await asyncio.sleep(0)
    return value


@task("tests.sleep", lane="process")
def sleep(seconds: float = NEVER_ENDS_SECONDS) -> None:
    """Sleep, after saying so."""
    current_job().progress(0, str(os.getpid()))
    time.sleep(seconds)


@task("tests.spin", lane="process")
def spin() -> None:
    """Compute in C without ever letting go of the interpreter, after saying so."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    current_job().progress(0, str(os.getpid()))
    sum(range(10**15))


@task("tests.allocate", lane="process")
def allocate(size_bytes: int) -> int:
    """Take memory in one piece."""
    return len(bytearray(size_bytes))


@task("tests.hoard", lane="process")
def hoard() -> None:
    """Take memory in ever smaller pieces and keep it, until there is none."""
    for size_bytes in (1_048_576, 4096, 256, 16):
        with contextlib.suppress(MemoryError):
            while True:
                HOARD[0] = (HOARD[0], bytes(size_bytes))  # grows without a list that must move
    raise MemoryError


@task("tests.kill-itself", lane="process")
def kill_itself(number: int = signal.SIGKILL) -> None:
    """Die of a signal."""
    os.kill(os.getpid(), number)


@task("tests.kill-nursery", lane="process")
def kill_nursery() -> None:
    """Kill the process that all others come from."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(NEVER_ENDS_SECONDS)


@task("tests.exit", lane="process")
def leave(status: int) -> None:
    """End the process without a word."""
    os._exit(status)


@task("tests.segfault", lane="process")
def segfault() -> None:
    """Read from where nothing is."""
    ctypes.string_at(0)


@task("tests.raise", lane="process")
def fail(message: str) -> None:
    """Fail as code fails."""
    raise ValueError(message)


@task("tests.large", lane="process")
def large(size_bytes: int) -> str:
    """Give a large result."""
    return "x" * size_bytes


@task("tests.not-json", lane="process")
def not_json() -> object:
    """Give what is no JSON."""
    return object()


@task("tests.print", lane="process")
def write_lines(lines: int) -> None:
    """Write to stdout, and leave it in the buffer."""
    for number in range(lines):
        sys.stdout.write(f"line {number} of a job\n")


@task("tests.progress", lane="process")
def report_often(times: int) -> None:
    """Report progress without a pause."""
    for number in range(times):
        current_job().progress(100 * number / times, f"{number}")
    current_job().progress(100, "all")


@task("tests.leave-program", lane="process")
def leave_program() -> int:
    """Start a program and leave it behind; give its process id."""
    return subprocess.Popen(SLEEP_FOR_EVER).pid


@task("tests.wait-for-program", lane="process")
def wait_for_program() -> None:
    """Start a program, report its process id and wait for it."""
    program = subprocess.Popen(SLEEP_FOR_EVER)
    current_job().progress(0, str(program.pid))
    program.wait()


@task("tests.leave-fork", lane="process")
def leave_fork() -> int:
    """Report the process id, fork, and come out of the task twice with both ids."""
    current_job().progress(0, str(os.getpid()))
    if pid := os.fork():
        os.waitpid(pid, 0)
    return os.getpid()


@task("tests.leave-orphan", lane="process")
def leave_orphan() -> int:
    """Start a program through another one that ends; give the id of its new parent."""
    shell = subprocess.run(
        ["sh", "-c", "sleep 600 >/dev/null & echo $!"], stdout=subprocess.PIPE, check=True
    )
    status = Path(f"/proc/{int(shell.stdout)}/status").read_text(encoding="utf-8")
    [parent] = [line.split()[1] for line in status.splitlines() if line.startswith("PPid:")]
    return int(parent)


@task("tests.list-descriptors", lane="process")
def list_descriptors() -> str:
    """Start a program that may inherit all it can; give what it has open."""
    command = ["ls", "-l", "/proc/self/fd"]
    return subprocess.run(
        command, stdout=subprocess.PIPE, check=True, close_fds=False, text=True
    ).stdout


@task("tests.block-output", lane="process")
def block_output() -> str:
    """Succeed, and leave an output behind that nobody reads."""

    class Blocked:
        def flush(self) -> None:
            time.sleep(NEVER_ENDS_SECONDS)

    sys.stdout = Blocked()
    return "done"


@task("tests.write-to-channel", lane="process")
def write_to_channel(text: str, repeat: int = 1) -> None:
    """Write to every socket that can be found, then sleep."""
    for number, target in _descriptors().items():
        if target.startswith("socket:"):
            os.write(int(number), text.encode("latin-1") * repeat)
    time.sleep(NEVER_ENDS_SECONDS)


@task("tests.look-around", lane="process")
def look_around() -> dict[str, Any]:
    """Tell what the process finds in itself."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "descriptors": _descriptors(),
        "sigterm": str(signal.getsignal(signal.SIGTERM)),
        "sigint": str(signal.getsignal(signal.SIGINT)),
        "core_bytes": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "random": random.random(),
    }


def _descriptors() -> dict[str, str]:
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that listed them
            found[path.name] = str(path.readlink())
    return found


@task("tests.download")
def download(url: str, ballast: str = "") -> str:  # noqa: ARG001 - read by nobody
    """Give all of a page; `ballast` makes the job large."""
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - the test's own server
        body: bytes = answer.read()
    return body.decode()


@task("tests.thread_sleep")
def thread_sleep(seconds: float) -> None:
    """Sleep on a thread, a little at a time, so that an exception can get in."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@task("tests.coroutine_sleep")
async def coroutine_sleep(seconds: float) -> None:
    """Sleep on the event loop."""
    await asyncio.sleep(seconds)


@task("tests.coroutine_block")
async def coroutine_block(seconds: float) -> None:
    """Sleep on the event loop in one call, so that it turns no more."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is its misbehaviour


@task("tests.block")
def block(seconds: float) -> None:
    """Sleep on a thread in one call, where no exception gets in."""
    time.sleep(seconds)
