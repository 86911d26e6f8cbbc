"""Joins concurrent submits: all that wait share one insert, one commit and one push.

One thread commits and another pushes, so that a Redis that does not answer delays no commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from rqube import errors, logs
from rqube.jobs import Job, JobDraft
from rqube.store.jobs import Insertion
from rqube.submission import Submitter

MOST_DRAFTS = 1000
"""In one transaction."""
MOST_WAITING = 10_000
"""Drafts that may wait; beyond it a submit fails at once instead of late."""

MOST_PUSHES = 1000
"""Groups that may wait for Redis."""

log = logs.get(__name__)


@dataclass(slots=True)
class _Request:
    drafts: Sequence[JobDraft]
    answer: Future[list[Insertion | errors.IdempotencyConflict]] = field(default_factory=Future)


class GroupCommit:
    """A thread that commits submits in groups, in the order in which they came."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter
        self._waiting: deque[_Request] = deque()
        self._drafts_waiting = 0
        self._changed = threading.Condition()
        self._closing = False
        self._committed: SimpleQueue[list[Job] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name="group-commit", daemon=True),
            threading.Thread(target=self._push, name="group-push", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self, drafts: Sequence[JobDraft]
    ) -> Future[list[Insertion | errors.IdempotencyConflict]]:
        """Store drafts, all or none; the future holds the answers after the commit.

        Raises:
            StoreUnavailable: too many drafts wait already, or this is closing.
        """
        request = _Request(drafts)
        with self._changed:
            if self._closing or self._drafts_waiting + len(drafts) > MOST_WAITING:
                message = "Too many submits wait for Postgres."
                raise errors.StoreUnavailable(message)
            self._waiting.append(request)
            self._drafts_waiting += len(drafts)
            self._changed.notify()
        return request.answer

    def close(self) -> None:
        """Commit and push what waits, then end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        for thread in self._threads:
            thread.join(timeout=10.0)

    def _run(self) -> None:
        while group := self._next_group():
            wanted = [one for one in group if one.answer.set_running_or_notify_cancel()]
            if wanted:
                self._commit(wanted)
        self._committed.put(None)

    def _push(self) -> None:
        while (accepted := self._committed.get()) is not None:
            while not self._committed.empty() and len(accepted) < MOST_DRAFTS:
                more = self._committed.get()
                if more is None:
                    self._committed.put(None)
                    break
                accepted += more
            try:
                self._submitter.push(accepted)
            except Exception:
                log.exception("group_commit.push_failed", jobs=len(accepted))

    def _next_group(self) -> list[_Request]:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            group: list[_Request] = []
            drafts = 0
            while self._waiting:
                size = len(self._waiting[0].drafts)
                if group and drafts + size > MOST_DRAFTS:
                    break
                group.append(self._waiting.popleft())
                drafts += size
            self._drafts_waiting -= drafts
            return group

    def _commit(self, group: Sequence[_Request]) -> None:
        drafts = [draft for request in group for draft in request.drafts]
        try:
            answers = self._store(drafts)
        except Exception as error:  # noqa: BLE001 - every waiting request must get its answer
            if len(group) > 1 and not isinstance(error, errors.StoreUnavailable):
                for request in group:  # one request spoils the group: find out which
                    self._commit([request])
                return
            for request in group:
                request.answer.set_exception(error)
            return
        position = 0
        accepted: list[Job] = []
        for request in group:
            mine = answers[position : position + len(request.drafts)]
            position += len(request.drafts)
            request.answer.set_result(mine)
            accepted += [a.job for a in mine if isinstance(a, Insertion) and a.is_new]
        # Rows that are not pushed here are found by the reconciler: so this queue may be bounded.
        if accepted and self._committed.qsize() < MOST_PUSHES:
            self._committed.put(accepted)

    def _store(self, drafts: Sequence[JobDraft]) -> list[Insertion | errors.IdempotencyConflict]:
        try:
            return self._submitter.store(drafts)
        except errors.StoreUnavailable as error:
            if not error.is_in_doubt:
                raise
            # The commit may have happened. The ids are ours, so asking again is safe.
            return self._submitter.store(drafts)
