"""Every error the platform raises.

RqubeError
├── InvalidInput              a field of a request is wrong; names each field
│   ├── UnknownTask           no task of this name in the catalogue
│   └── IdempotencyConflict   the key was used for another request
├── NotFound                  no job, schedule, queue … of this id or name
├── IllegalMove               the job's state does not allow what was asked
├── StoreUnavailable          Postgres cannot be reached, or is not ready in time
│   └── SchemaMismatch        the database has not the schema this release needs
├── WriteRefused              Postgres refuses the values themselves
├── QueueUnavailable          Redis cannot be reached
├── ResultRefused             what a task returned cannot be stored
└── JobError                  raised by tasks: the job's own failure, with a cause
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One wrong field of a request."""

    field: str
    """Path as the caller wrote it: `params.url`, `jobs.3.task`."""
    message: str
    """What is wrong, for people."""


class RqubeError(Exception):
    """Root of all errors of the platform."""


class InvalidInput(RqubeError):
    """Fields of a request are wrong; nothing was stored."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{error.field}: {error.message}" for error in errors))
        self.errors = tuple(errors)

    @classmethod
    def of(cls, field: str, message: str) -> InvalidInput:
        """Build the error of a single field."""
        return cls([FieldError(field=field, message=message)])

    def below(self, prefix: str) -> InvalidInput:
        """Give the same errors with every field under a prefix such as `jobs.3`."""
        return InvalidInput(
            [
                FieldError(field=f"{prefix}.{error.field}", message=error.message)
                for error in self.errors
            ]
        )


class UnknownTask(InvalidInput):
    """The catalogue has no task of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        names = ", ".join(known) or "none; is a worker or `rqube migrate` registered?"
        message = f"No task named {name!r}. Known tasks: {names}."
        super().__init__([FieldError(field="task", message=message)])
        self.name = name


class IdempotencyConflict(InvalidInput):
    """The idempotency key was used before, for a different request or a job that was deleted."""

    def __init__(self, key: str, *, is_job_deleted: bool = False) -> None:
        other = "a job that has been deleted since" if is_job_deleted else "a different request"
        message = f"The key {key!r} was used for {other}."
        super().__init__([FieldError(field="Idempotency-Key", message=message)])
        self.key = key


class NotFound(RqubeError):
    """Nothing of this kind has this id or name."""

    def __init__(self, what: str, key: object) -> None:
        super().__init__(f"No {what} {str(key)!r}.")
        self.what = what
        self.key = key


class IllegalMove(RqubeError):
    """The state does not allow what was asked."""

    def __init__(self, what: str, *, state: str) -> None:
        super().__init__(f"Cannot {what} a job that is {state}.")
        self.state = state


class StoreUnavailable(RqubeError):
    """Postgres cannot be reached, refuses work, or did not answer in time.

    `is_in_doubt`: the transaction may have been committed before the connection broke.
    """

    def __init__(self, message: str, *, is_in_doubt: bool = False) -> None:
        super().__init__(message)
        self.is_in_doubt = is_in_doubt


class SchemaMismatch(StoreUnavailable):
    """The database has not the schema that this release needs."""


class WriteRefused(RqubeError):
    """Postgres refuses the values of a write, whenever it is tried."""


class QueueUnavailable(RqubeError):
    """Redis cannot be reached, refuses work, or did not answer in time."""


class ResultRefused(RqubeError):
    """What a task returned cannot be stored: not JSON, or over the limit."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class JobError(RqubeError):
    """Raised by tasks: the job failed for a cause that its author named.

    `cause` is a stable word (`blocked_address`); `permanent` ends the job without
    another attempt; `retry_after` overrides the back-off before the next one.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str = "error",
        permanent: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.permanent = permanent
        self.retry_after = retry_after


def summary(error: Mapping[str, object] | None, *, at_most: int = 200) -> str:
    """Say a recorded job error in one line of at most `at_most` characters."""
    if not error:
        return ""
    line = f"{error.get('type', 'Error')}: {error.get('message', '')}".strip().splitlines()
    text = line[0] if line else ""
    return text if len(text) <= at_most else text[: at_most - 1] + "…"
