"""Concurrent submits share a commit, and none pays for another's mistake."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait

import psycopg
import pytest

from rqube import errors, group_commit
from rqube.group_commit import GroupCommit
from rqube.jobs import Job, JobDraft
from rqube.queue import connection
from rqube.queue.redis_queue import RedisQueue
from rqube.store.jobs import Insertion
from rqube.store.store import Store
from rqube.submission import Submitter
from tests.factories import make_draft
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.waiting import wait_until

Answers = Sequence[Insertion | errors.IdempotencyConflict]


@pytest.fixture
def group(submitter: Submitter) -> Iterator[GroupCommit]:
    """The two threads."""
    made = GroupCommit(submitter)
    yield made
    made.close()


@pytest.fixture
def proxy(clean_postgres: str) -> Iterator[FaultProxy]:
    """A proxy before Postgres."""
    with fault_proxy(clean_postgres) as made:
        yield made


@pytest.fixture
def far_group(proxy: FaultProxy, queue: RedisQueue) -> Iterator[GroupCommit]:
    """A group commit whose Postgres is behind the proxy."""
    store = Store.open(proxy.url, name="test")
    made = GroupCommit(Submitter(store, queue))
    yield made
    made.close()
    store.close()


@contextlib.contextmanager
def held_up(store: Store, group: GroupCommit) -> Iterator[None]:
    """Keep the thread busy with a commit that waits for a lock, so that others gather."""
    with psycopg.connect(store.database.url) as blocker:
        blocker.execute("LOCK TABLE jobs")
        group.submit([make_draft()])
        wait_until(lambda: not group._drafts_waiting, otherwise="the first group to be taken")
        yield


def job(answers: Answers) -> Job:
    """Give the only job of an answer."""
    [answer] = answers
    assert isinstance(answer, Insertion)
    return answer.job


def transactions(store: Store) -> int:
    """Count the transactions that inserted the jobs of the table."""
    with psycopg.connect(store.database.url) as connection:
        row = connection.execute("SELECT count(DISTINCT xmin::text) FROM jobs").fetchone()
    return int(row[0]) if row else 0


class TestGroupCommit:
    def test_answers_each_submit_with_its_own_jobs(self, group: GroupCommit) -> None:
        """Requests may hold one draft or many, and get as many answers."""
        drafts = [[make_draft() for _ in range(size)] for size in (1, 3, 1, 20)]

        answers = [group.submit(some).result(10) for some in drafts]

        for some, mine in zip(drafts, answers, strict=True):
            assert [a.job.id for a in mine if isinstance(a, Insertion)] == [d.id for d in some]

    def test_needs_fewer_commits_than_submits(self, group: GroupCommit, store: Store) -> None:
        """Under load those that wait for one commit share the next."""

        def submit() -> None:
            for _ in range(10):
                group.submit([make_draft()]).result(10)

        threads = [threading.Thread(target=submit) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert store.jobs.count()["queued"] == 320
        assert transactions(store) < 160

    def test_pushes_what_it_committed(self, group: GroupCommit, queue: RedisQueue) -> None:
        """In the order of the commits."""
        ids = [str(job(group.submit([make_draft()]).result(10)).id) for _ in range(20)]

        wait_until(lambda: queue.lengths(["default"]) == {"default": 20}, otherwise="the pushes")

        waiting: list[bytes] = queue.client.lrange("rq:queue:default", 0, -1)  # type: ignore[assignment]
        assert [raw.decode() for raw in waiting] == ids

    def test_lets_a_bad_submit_fail_alone(self, group: GroupCommit, store: Store) -> None:
        """What Postgres refuses is found among those that shared its transaction."""
        with held_up(store, group):
            good = [group.submit([make_draft()]) for _ in range(3)]
            bad = group.submit([make_draft(), make_draft(params={"text": "\0"})])
            more = [group.submit([make_draft()]) for _ in range(3)]

        assert all(job(future.result(10)) for future in [*good, *more])
        with pytest.raises(errors.WriteRefused):
            bad.result(10)
        assert store.jobs.count()["queued"] == 7

    def test_tells_all_when_postgres_is_away(
        self, far_group: GroupCommit, proxy: FaultProxy
    ) -> None:
        """Nobody is told that a job is accepted, and all are told in time."""
        job(far_group.submit([make_draft()]).result(10))
        proxy.refuse()

        futures = [far_group.submit([make_draft()]) for _ in range(20)]
        wait(futures, timeout=10)
        found = {type(future.exception(0)) for future in futures}
        proxy.recover()

        assert found == {errors.StoreUnavailable}
        wait_until(lambda: is_accepted(far_group), otherwise="submits to succeed again")

    def test_stores_once_what_is_in_doubt(
        self, far_group: GroupCommit, proxy: FaultProxy, store: Store
    ) -> None:
        """The reply to the commit is lost: the same ids are inserted again, and found."""
        job(far_group.submit([make_draft()]).result(10))
        draft = make_draft(idempotency_key="a key", body_hash="a body")
        proxy.cut_reply_to(b"COMMIT")

        accepted = job(far_group.submit([draft]).result(10))

        assert proxy.cuts == 1
        assert accepted == store.jobs.get(draft.id)
        assert store.jobs.count()["queued"] == 2

    def test_takes_no_more_than_it_may_keep_waiting(self, group: GroupCommit, store: Store) -> None:
        """Beyond the bound a submit fails at once; it would be too late anyhow."""
        thousand = [make_draft() for _ in range(1000)]
        with held_up(store, group):
            accepted = [group.submit(thousand) for _ in range(group_commit.MOST_WAITING // 1000)]
            with pytest.raises(errors.StoreUnavailable, match="Too many"):
                group.submit([make_draft()])

        assert all(len(future.result(10)) == 1000 for future in accepted)

    def test_survives_those_who_wait_no_more(self, group: GroupCommit, store: Store) -> None:
        """A client that went away leaves a cancelled future, and the thread goes on."""
        with held_up(store, group):
            gone = group.submit([make_draft()])
            here = group.submit([make_draft()])
            was_cancelled = gone.cancel()

        assert was_cancelled
        assert len(here.result(10)) == 1
        assert store.jobs.count()["queued"] == 2

    def test_commits_while_redis_does_not_answer(self, store: Store, clean_redis: str) -> None:
        """Pushing has a thread of its own, so that its waits are nobody's."""
        with fault_proxy(clean_redis) as redis:
            queue = RedisQueue(connection.connect(redis.url), window_jobs=100, record_seconds=500)
            group = GroupCommit(Submitter(store, queue))
            redis.freeze()
            futures: list[Future[list[Insertion | errors.IdempotencyConflict]]] = []
            for _ in range(5):
                futures.append(group.submit([make_draft()]))
                futures[-1].result(2)
            redis.refuse()
            group.close()

        assert store.jobs.count()["queued"] == 5


class TestClose:
    def test_commits_what_waits(self, submitter: Submitter, store: Store) -> None:
        """Whoever was accepted gets an answer."""
        group = GroupCommit(submitter)
        with held_up(store, group):
            waiting = [group.submit([make_draft()]) for _ in range(5)]
            closing = threading.Thread(target=group.close)
            closing.start()
            wait_until(lambda: group._closing, otherwise="the closing")
        closing.join(10)

        assert all(job(future.result(0)) for future in waiting)
        assert not any(thread.is_alive() for thread in group._threads)

    def test_takes_nothing_more(self, submitter: Submitter) -> None:
        """A service that leaves says so."""
        group = GroupCommit(submitter)
        group.close()

        with pytest.raises(errors.StoreUnavailable):
            group.submit([make_draft()])


def is_accepted(group: GroupCommit) -> bool:
    """Submit once; tell whether it was accepted."""
    drafts: list[JobDraft] = [make_draft()]
    try:
        return bool(group.submit(drafts).result(5))
    except errors.StoreUnavailable:
        return False
