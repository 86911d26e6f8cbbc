"""Connections to Redis, its scripts, and the way its errors become errors of rqube."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any

import redis
import redis.exceptions

from rqube import errors, metrics

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0

ODD_BYTES = "surrogateescape"
"""Anybody may have put an id into a list: one that is no text must survive the way back."""

Argument = str | bytes | int | float


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and its hash."""

    name: str
    text: str
    sha: str

    @classmethod
    def read(cls, name: str, package: str = "rqube.queue") -> Script:
        """Read the script that lies in a package."""
        text = (resources.files(package) / f"{name}.lua").read_text(encoding="utf-8")
        return cls(name, text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324 - Redis' own name


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a script."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]


def connect(url: str, *, answer_seconds: float = ANSWER_SECONDS) -> redis.Redis:
    """Make a client; it connects at its first command.

    One retry at most, because whoever waits has better things to do: the relay tries again.
    """
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=answer_seconds,
        socket_keepalive=True,
        health_check_interval=15,
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
    )


def text(raw: bytes) -> str:
    """Read an id, whatever its bytes are."""
    return raw.decode(errors=ODD_BYTES)


def raw(text: str) -> bytes:
    """Write an id with the bytes that it was read from."""
    return text.encode(errors=ODD_BYTES)


def call(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    """Run scripts in one round trip, in order; loads those that Redis does not know.

    Raises:
        QueueUnavailable: Redis cannot be reached, or refused a script.
    """
    operation = calls[-1].script.name
    with unavailable_when_gone(operation), metrics.redis_operation(operation).time():
        answers = _send(client, calls)
        missing = [
            position
            for position, answer in enumerate(answers)
            if isinstance(answer, redis.exceptions.NoScriptError)
        ]
        if missing:
            for script in {calls[position].script for position in missing}:
                client.script_load(script.text)
            again = _send(client, [calls[position] for position in missing])
            for position, answer in zip(missing, again, strict=True):
                answers[position] = answer
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


@contextmanager
def unavailable_when_gone(operation: str = "command") -> Iterator[None]:
    """Turn every error of Redis into `QueueUnavailable`, and count it."""
    try:
        yield
    except (redis.exceptions.RedisError, OSError) as error:
        metrics.REDIS_ERRORS.labels(operation).inc()
        message = str(error).strip() or type(error).__name__
        raise errors.QueueUnavailable(message) from error


def _send(client: redis.Redis, calls: Sequence[Call]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for one in calls:
        # The client's own encoder, which is hiredis', knows no way to write odd bytes.
        given = [raw(value) if isinstance(value, str) else value for value in one.arguments]
        pipeline.evalsha(one.script.sha, len(one.keys), *one.keys, *given)
    return pipeline.execute(raise_on_error=False)
