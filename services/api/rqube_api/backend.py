"""What handlers call: the library, from a loop that must not block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import ParamSpec, TypeVar, cast

from starlette.requests import Request

from rqube import errors, logs
from rqube.group_commit import GroupCommit
from rqube.jobs import Job, JobDraft
from rqube.queue.redis_queue import RedisQueue
from rqube.settings import Settings
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from rqube.submission import Submitter
from rqube_api.limits import Limits

P = ParamSpec("P")
T = TypeVar("T")

log = logs.get(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The library as one object; the app holds one, handlers ask `of(request)` for it."""

    settings: Settings
    store: Store
    queue: RedisQueue
    submitter: Submitter
    group_commit: GroupCommit
    threads: ThreadPoolExecutor
    limits: Limits

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function of the library on a thread and give what it returns.

        Raises:
            StoreUnavailable: it did not return in time; whether it will is not known.
        """
        work = self.threads.submit(function, *args, **kwargs)
        try:
            return await _answer(work, within=self.limits.answer)
        finally:
            work.cancel()  # what nobody waits for need not begin

    async def commit(self, drafts: Sequence[JobDraft]) -> list[Job]:
        """Store drafts, all or none, in one transaction with those of other requests.

        Raises:
            IdempotencyConflict: a key was used for another request.
            StoreUnavailable: nothing is known to be stored.
        """
        submitted = self.group_commit.submit(drafts)
        try:
            answers = await _answer(submitted, within=self.limits.commit)
        finally:
            submitted.cancel()  # what is late and has not begun is not stored
        for answer in answers:
            if isinstance(answer, errors.IdempotencyConflict):
                raise answer
        return [answer.job for answer in answers if isinstance(answer, Insertion)]

    async def afterwards(
        self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Run what follows a commit on a thread; a client waits for it a little.

        Others repair what it leaves undone, so its failure is logged and hidden.
        """
        work = self.threads.submit(function, *args, **kwargs)
        try:
            await _answer(work, within=self.limits.afterwards)
        except (errors.StoreUnavailable, errors.QueueUnavailable) as error:
            log.warning("api.afterwards_failed", error=str(error))


def of(request: Request) -> Backend:
    """Give the backend of the app that got the request."""
    return cast("Backend", request.app.state.backend)


async def _answer(work: Future[T], *, within: timedelta) -> T:
    answer = asyncio.wrap_future(work)
    await asyncio.wait({answer}, timeout=within.total_seconds())
    if not answer.done():
        answer.add_done_callback(_forget)
        message = f"No answer within {within.total_seconds():g} s."
        raise errors.StoreUnavailable(message)
    return answer.result()


def _forget(answer: asyncio.Future[T]) -> None:
    if not answer.cancelled():
        answer.exception()  # else the loop reports that nobody looked
