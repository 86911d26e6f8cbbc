"""Resolves a name once, checks every answer, and connects to what was checked.

Checking first and letting the client resolve again would leave a gap: the name's owner may answer
the second time with another address.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from urllib3.util import wait_for_write

from rqube.fetch import addresses
from rqube.fetch.errors import FetchCause, FetchError
from rqube.fetch.guard import Answer, Guard

MAX_ADDRESSES_TRIED = 4


def connect(host: str, port: int, *, guard: Guard) -> socket.socket:
    """Open a connection that the rules permit, with the connect limit as its time limit.

    One answer that is off limits refuses the whole name, so that nobody learns from the outcome
    which of several addresses answers.

    Raises:
        FetchError: dns, blocked_address, connect or deadline.
    """
    answers = _resolved(host, port, guard=guard)
    for *_, target in answers:
        _check(target, guard=guard)
    for answer in answers[:MAX_ADDRESSES_TRIED]:
        with contextlib.suppress(OSError):  # the next address may do better
            return _opened(answer, guard=guard)
    raise FetchError(FetchCause.CONNECT)


def _resolved(host: str, port: int, *, guard: Guard) -> Sequence[Answer]:
    # A lookup cannot be interrupted, so it gets a thread of its own, which ends with the lookup.
    # No pool: its threads would not survive a fork, and would outlive the fetch.
    found: Future[Sequence[Answer]] = Future()

    def look_up() -> None:
        try:
            found.set_result(guard.resolve(host, port, 0, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.set_exception(error)

    def answered(seconds: float) -> bool:
        try:
            found.exception(seconds)
        except TimeoutError:
            return False
        return True

    threading.Thread(target=look_up, name="rqube-fetch-dns", daemon=True).start()
    if not guard.watchdog.wait(answered, within=guard.limits.dns):
        raise FetchError(FetchCause.DNS)
    if found.exception() is not None or not found.result():
        raise FetchError(FetchCause.DNS)
    return found.result()


def _opened(answer: Answer, *, guard: Guard) -> socket.socket:
    """Connect to one address.

    Raises:
        OSError: it does not answer.
    """
    family, kind, protocol, _, target = answer
    with contextlib.ExitStack() as on_failure:
        sock = on_failure.enter_context(socket.socket(family, kind, protocol))
        _await_connection(sock, target, guard=guard)
        _check(sock.getpeername(), guard=guard)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(min(guard.limits.connect, guard.watchdog.left()).total_seconds())
        guard.watchdog.watch(sock)
        on_failure.pop_all()
    return sock


def _await_connection(sock: socket.socket, target: tuple[object, ...], *, guard: Guard) -> None:
    sock.settimeout(0)  # so that the wait can be one that notices an asynchronous exception
    outcome = sock.connect_ex(target)
    if outcome == errno.EINPROGRESS:
        if not guard.watchdog.wait(
            lambda seconds: wait_for_write(sock, seconds), within=guard.limits.connect
        ):
            raise TimeoutError
        outcome = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if outcome:
        raise OSError(outcome, os.strerror(outcome))


def _check(target: tuple[object, ...], *, guard: Guard) -> None:
    address, port = target[0], target[1]
    if not (
        isinstance(address, str)
        and isinstance(port, int)
        and addresses.permits(address, port=port, allow=guard.allow)
    ):
        raise FetchError(FetchCause.BLOCKED_ADDRESS)
