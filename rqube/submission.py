"""Use case: accept a job. Everything that submits comes through here."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import pydantic_core

from rqube import errors, jobs, logs, metrics
from rqube.jobs import Job, JobDraft
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import NAME_PATTERN, Settings
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from rqube.store.tasks import TaskRow
from rqube.tasks.parameters import Parameters, refuse_unstorable
from rqube.tasks.task import LONGEST_TIMEOUT, SHORTEST_TIMEOUT, SubmitOptions, Task

CATALOGUE_SECONDS = 5.0
MOST_TAGS = 20
LONGEST_TAG = 64
LONGEST_KEY = 255
PRIORITIES = range(-100, 101)
LONGEST_DELAY = timedelta(days=3650)
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)

log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a client asks for, parsed but not yet checked against the catalogue."""

    task: str
    params: Mapping[str, Any]
    options: SubmitOptions = field(default_factory=SubmitOptions)
    body_hash: str | None = None
    """Hash of the request, compared when its idempotency key comes again."""


class Catalogue:
    """The registered tasks as those who submit see them; read again when some seconds old."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[TaskRow, Parameters]] = {}
        self._read_at = float("-inf")

    def find(self, name: str) -> tuple[TaskRow, Parameters]:
        """Give a task and the check of its parameters.

        Raises:
            UnknownTask: nobody registered the task.
            StoreUnavailable: the catalogue cannot be read.
        """
        age = time.monotonic() - self._read_at
        if age > CATALOGUE_SECONDS or (name not in self._rows and age > CATALOGUE_SECONDS / 10):
            self._read()
        try:
            return self._rows[name]
        except KeyError:
            raise errors.UnknownTask(name, sorted(self._rows)) from None

    def _read(self) -> None:
        with self._lock:
            before = self._rows
            rows = {}
            for row in self._store.tasks.list():
                known = before.get(row.name)
                is_same = known is not None and known[0].params_schema == row.params_schema
                rows[row.name] = (row, known[1] if known and is_same else _check(row))
            self._rows = rows
            self._read_at = time.monotonic()


class Submitter:
    """Accepts jobs: checks them, stores them, and hands their ids to Redis."""

    def __init__(self, store: Store, queue: RedisQueue) -> None:
        self._store = store
        self._queue = queue
        self.catalogue = Catalogue(store)
        self._known_queues: set[str] = set()

    def draft(
        self,
        request: JobRequest,
        *,
        schedule_id: UUID | None = None,
        planned_at: datetime | None = None,
    ) -> JobDraft:
        """Check a request and fill in what the task decides.

        Raises:
            InvalidInput: names each wrong field.
            StoreUnavailable: the catalogue cannot be read.
        """
        row, parameters = self.catalogue.find(request.task)
        parameters.check(request.params)
        draft = _draft(request, row, schedule_id=schedule_id, planned_at=planned_at)
        self._make_known([draft])
        return draft

    def submit(self, drafts: Sequence[JobDraft]) -> list[Insertion | errors.IdempotencyConflict]:
        """Store drafts in one transaction, then push what is due; answer each draft in order.

        Redis being down changes nothing: the relay pushes later.

        Raises:
            StoreUnavailable: nothing is known to be stored.
        """
        answers = self.store(drafts)
        self.push([a.job for a in answers if isinstance(a, Insertion) and a.is_new])
        return answers

    def store(self, drafts: Sequence[JobDraft]) -> list[Insertion | errors.IdempotencyConflict]:
        """Store drafts in one transaction; the caller pushes afterwards."""
        self._make_known(drafts)
        answers = self._store.jobs.insert(drafts)
        for answer in answers:
            if isinstance(answer, Insertion) and answer.is_new:
                job = answer.job
                metrics.jobs_enqueued(job.queue, job.task, metrics.Source.API).inc()
        return answers

    def retry(self, job_id: UUID) -> Job:
        """Queue a job again that ended badly; the caller pushes afterwards.

        Raises:
            NotFound: no job has this id.
            IllegalMove: the job has not ended, or succeeded.
            StoreUnavailable: nothing is known to be changed.
        """
        job = self._store.jobs.retry(job_id)
        metrics.jobs_enqueued(job.queue, job.task, metrics.Source.RETRY).inc()
        return job

    def push(self, accepted: Sequence[Job]) -> None:
        """Hand due jobs to Redis; what Redis does not take is left to the relay."""
        due = [job for job in accepted if job.dispatched_at is not None]
        if not due:
            return
        try:
            left = self._queue.push(due)
        except errors.QueueUnavailable as error:
            log.warning("submission.push_failed", jobs=len(due), error=str(error))
            left = [job.id for job in due]
        if left:
            try:
                self._store.dispatch.give_back(left)
            except errors.StoreUnavailable as error:
                # The reconciler finds rows that say "handed over" and are in no list.
                log.warning("submission.give_back_failed", jobs=len(left), error=str(error))

    def submit_task(
        self, task: Task[..., Any], params: Mapping[str, Any], options: SubmitOptions
    ) -> Job:
        """Accept a job of a task that is installed here, without asking the catalogue.

        Raises:
            InvalidInput: names each wrong field.
            StoreUnavailable: nothing is known to be stored.
        """
        [answer] = self.submit([draft_of(task, params, options=options)])
        if isinstance(answer, errors.IdempotencyConflict):
            raise answer
        return answer.job

    def _make_known(self, drafts: Sequence[JobDraft]) -> None:
        """Write queues into the list of queues: the relay looks after those."""
        unknown = {draft.queue for draft in drafts} - self._known_queues
        if unknown:
            self._store.queues.add(unknown)
            self._known_queues |= unknown


def draft_of(
    task: Task[..., Any], params: Mapping[str, Any], *, options: SubmitOptions
) -> JobDraft:
    """Check what a task that is installed here is submitted with, and fill in what it decides.

    Raises:
        InvalidInput: names each wrong field.
    """
    plain = pydantic_core.to_jsonable_python(dict(params))
    task.parse(plain)
    refuse_unstorable(plain, field="params")
    request = JobRequest(task=task.name, params=plain, options=options)
    request = dataclasses.replace(request, body_hash=_hash(request))
    return _draft(request, task)


@functools.cache
def of_this_process() -> Submitter:
    """Give the submitter that the environment describes, made at the first call."""
    settings = Settings.load()
    store = Store.open(settings.postgres_url, name="submit", max_connections=4)
    return Submitter(store, RedisQueue.of(settings))


class _Defaults(Protocol):
    """What a task decides where a request does not; the catalogue's row or the task itself."""

    @property
    def queue(self) -> str: ...
    @property
    def timeout(self) -> timedelta: ...
    @property
    def max_attempts(self) -> int: ...


def _hash(request: JobRequest) -> str | None:
    if request.options.idempotency_key is None:
        return None
    text = json.dumps(dataclasses.asdict(request), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _check(row: TaskRow) -> Parameters:
    try:
        return Parameters(row.params_schema)
    except ValueError:
        # The worker checks as well; one odd schema must not keep the other tasks from submits.
        log.exception("submission.schema_unusable", task=row.name)
        return Parameters({})


def _draft(
    request: JobRequest,
    task: _Defaults,
    *,
    schedule_id: UUID | None = None,
    planned_at: datetime | None = None,
) -> JobDraft:
    options = request.options
    timeout = task.timeout if options.timeout is None else options.timeout
    max_attempts = task.max_attempts if options.max_attempts is None else options.max_attempts
    queue = task.queue if options.queue is None else options.queue
    found = list(_wrong(options, queue=queue, timeout=timeout, max_attempts=max_attempts))
    if found:
        raise errors.InvalidInput(found)
    return JobDraft(
        id=jobs.new_id(),
        task=request.task,
        params=request.params,
        queue=queue,
        timeout=timeout,
        max_attempts=max_attempts,
        priority=options.priority,
        tags=options.tags,
        run_at=options.run_at,
        delay=options.delay or timedelta(0),
        schedule_id=schedule_id,
        planned_at=planned_at,
        idempotency_key=options.idempotency_key,
        body_hash=request.body_hash or "",
    )


def _wrong(
    options: SubmitOptions, *, queue: str, timeout: timedelta, max_attempts: int
) -> list[errors.FieldError]:
    checks = [
        (bool(re.fullmatch(NAME_PATTERN, queue)), "queue", f"does not match {NAME_PATTERN}"),
        (SHORTEST_TIMEOUT <= timeout <= LONGEST_TIMEOUT, "timeout_seconds", "is not 0.1 to 604800"),
        (1 <= max_attempts <= 1000, "max_attempts", "is not 1 to 1000"),
        (options.priority in PRIORITIES, "priority", "is not -100 to 100"),
        (
            options.run_at is None or options.delay is None,
            "delay_seconds",
            "cannot stand beside run_at",
        ),
        (
            options.run_at is None or EARLIEST <= options.run_at <= LATEST,
            "run_at",
            "is not within the years 1970 to 9000",
        ),
        (
            options.delay is None or timedelta(0) <= options.delay <= LONGEST_DELAY,
            "delay_seconds",
            "is not 0 to 315360000",
        ),
        (len(options.tags) <= MOST_TAGS, "tags", f"are more than {MOST_TAGS}"),
        (
            all(0 < len(tag) <= LONGEST_TAG and tag.isprintable() for tag in options.tags),
            "tags",
            f"hold an empty one, one over {LONGEST_TAG} characters, or unprintable ones",
        ),
        (
            options.idempotency_key is None or 0 < len(options.idempotency_key) <= LONGEST_KEY,
            "Idempotency-Key",
            f"is empty or over {LONGEST_KEY} characters",
        ),
    ]
    return [
        errors.FieldError(field=field, message=message)
        for is_right, field, message in checks
        if not is_right
    ]
