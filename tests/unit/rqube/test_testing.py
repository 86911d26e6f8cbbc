from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rqube import errors, testing
from rqube.jobs import Job, JobState
from rqube.tasks.current import current_job
from rqube.tasks.task import SubmitOptions, Task, task
from rqube.testing import JobsInMemory

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "how-to" / "test-your-tasks.md"
FILE = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What the guide's shop has beside its tasks.
BANK = """
def has_credit(order_id):
    return True

def charge(order_id, *, key):
    return f"paid {order_id}"

def give(answer):
    if isinstance(answer, Exception):
        raise answer
    return answer
"""

jobs = testing.jobs


@task("tests.pair")
def pair(left: int, *, right: datetime | None = None) -> dict[str, Any]:
    return {"left": left, "right": right, "both": (left, right)}


@task("tests.step")
def step(left: int) -> None:
    current_job().progress(50, f"{left} left")
    if left:
        step.submit(left=left - 1)


@task("tests.wait")
async def wait(*, answer: str) -> str:
    await asyncio.sleep(0)
    return f"{answer} to {current_job().task}"


def failing(error: BaseException, *, times: int = 1000, **limits: Any) -> Task[[], str]:
    """Make a task that raises before it succeeds."""
    left = [error] * times

    @task("tests.failing", **limits)
    def fail() -> str:
        if left:
            raise left.pop()
        return "done"

    return fail


def with_options(made: Task[..., Any], **options: Any) -> Job:
    return made.submit_with(SubmitOptions(**options))


class TestSubmit:
    def test_keeps_jobs_in_order_and_runs_nothing(self, jobs: JobsInMemory) -> None:
        """When a job runs is the test's decision, and another moment than the submit, as ever."""
        first = step.submit(left=3)
        second = pair.submit(1)

        assert jobs.submitted == [first, second]
        assert {job.state for job in jobs.submitted} == {JobState.QUEUED}

    def test_checks_parameters_and_options(self, jobs: JobsInMemory) -> None:
        """What will be refused is refused in a test, with the same words."""
        with pytest.raises(errors.InvalidInput, match=r"params\.left: Input should be a valid int"):
            pair.submit(left="x")  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidInput, match="tags: "):
            with_options(failing(ValueError()), tags=("",))
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            pair.submit(1, wrong=2)  # type: ignore[call-arg]

        assert jobs.submitted == []

    def test_knows_idempotency_keys(self, jobs: JobsInMemory) -> None:
        """A key finds its job again, and refuses another request."""
        options = SubmitOptions(idempotency_key="once")
        first = pair.submit_with(options, 1)

        assert pair.submit_with(options, 1) == first
        assert jobs.submitted == [first]
        with pytest.raises(errors.IdempotencyConflict):
            pair.submit_with(options, 2)

    def test_is_the_usual_one_after_the_test(self) -> None:
        """The fixture leaves nothing behind."""
        before = Task.__dict__["submitter"]
        fixture = testing.jobs.__wrapped__  # type: ignore[attr-defined]
        running = fixture()

        in_memory = next(running)
        assert Task.submitter == in_memory.accept
        running.close()

        assert Task.__dict__["submitter"] is before


class TestRunAll:
    def test_runs_from_json_to_json(self, jobs: JobsInMemory) -> None:
        """A task gets parsed values, and a test the result that a client would read."""
        pair.submit(1, right=datetime(2026, 1, 2, tzinfo=UTC))

        [job] = jobs.run_all()

        assert job.state is JobState.SUCCEEDED
        assert job.params == {"left": 1, "right": "2026-01-02T00:00:00Z"}
        assert job.result == {
            "left": 1,
            "right": "2026-01-02T00:00:00Z",
            "both": [1, "2026-01-02T00:00:00Z"],
        }
        assert job.finished_at is not None

    def test_runs_what_jobs_submit(self, jobs: JobsInMemory) -> None:
        """A chain of jobs comes to its end; each has the progress that it reported last."""
        step.submit(left=2)

        ran = jobs.run_all()

        assert ran == jobs.submitted
        assert [job.params["left"] for job in ran] == [2, 1, 0]
        assert ran[0].progress == {"percent": 50.0, "message": "2 left"}

    def test_gives_up_on_jobs_without_end(self, jobs: JobsInMemory) -> None:
        """A test that cannot end fails, and says why."""
        step.submit(left=5)

        with pytest.raises(pytest.fail.Exception, match="still wait after 5 runs"):
            jobs.run_all(at_most=5)

        assert len(jobs.run_all(at_most=1)) == 1
        assert jobs.run_all() == []

    def test_tries_again_after_a_failure(
        self, jobs: JobsInMemory, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Attempts are counted; the log has the tracebacks of those that the job forgets."""
        failing(OSError("away"), times=2).submit()

        [job] = jobs.run_all()

        assert (job.state, job.result, job.error) == (JobState.SUCCEEDED, "done", None)
        assert (job.attempt, job.failures) == (3, 2)
        assert caplog.text.count("OSError: away") == 2

    def test_fails_a_job_after_its_last_attempt(self, jobs: JobsInMemory) -> None:
        """The error is the object that clients read."""
        failing(OSError("away"), max_attempts=2).submit()

        [job] = jobs.run_all()

        assert (job.state, job.attempt, job.result) == (JobState.FAILED, 2, None)
        assert job.error is not None
        assert (job.error["type"], job.error["cause"]) == ("OSError", "exception")

    def test_obeys_the_error_of_a_task(self, jobs: JobsInMemory) -> None:
        """`permanent` ends a job at once, with its author's cause."""
        failing(errors.JobError("empty", cause="no_credit", permanent=True)).submit()

        [job] = jobs.run_all()

        assert (job.state, job.attempt) == (JobState.FAILED, 1)
        assert job.error is not None
        assert job.error["cause"] == "no_credit"

    def test_refuses_results_that_cannot_be_stored(self, jobs: JobsInMemory) -> None:
        """A set of objects passes in a plain call, but not in a worker."""
        task("tests.unstorable")(lambda: object()).submit()  # noqa: PLW0108

        [job] = jobs.run_all()

        assert job.error is not None
        assert job.error["cause"] == "result_not_json"

    @pytest.mark.parametrize("stop", testing.ENDS_THE_TEST)
    def test_lets_pass_what_ends_the_test(
        self, jobs: JobsInMemory, stop: type[BaseException]
    ) -> None:
        """Ctrl-C and a test's time limit are no failures of a job, to be tried again."""
        failing(stop("stop")).submit()

        with pytest.raises(stop):
            jobs.run_all()

        assert jobs.submitted[0].attempt == 1


class TestRunNext:
    def test_skips_time(self, jobs: JobsInMemory) -> None:
        """A day passes at once, and the job that is due first is run first."""
        late = with_options(
            failing(errors.JobError("busy", retry_after=timedelta(hours=2)), times=1),
            delay=timedelta(days=1),
        )
        soon = pair.submit(1)

        assert jobs.run_next().id == soon.id
        again = jobs.run_next()
        assert again.run_at - late.created_at == timedelta(days=1, hours=2)
        assert jobs.run_next().started_at == again.run_at

    def test_prefers_priority_among_jobs_that_are_due(self, jobs: JobsInMemory) -> None:
        """So does a queue."""
        usual = with_options(failing(ValueError(), times=0))
        urgent = with_options(failing(ValueError(), times=0), priority=1)

        assert [job.id for job in jobs.run_all()] == [urgent.id, usual.id]

    def test_wants_a_job(self, jobs: JobsInMemory) -> None:
        """A test that expects one learns that nothing was submitted."""
        with pytest.raises(pytest.fail.Exception, match="no job waits"):
            jobs.run_next()


class TestCoroutines:
    def test_are_awaited(self, jobs: JobsInMemory) -> None:
        """Their job is the current one, as in a plain function."""
        wait.submit(answer="yes")

        assert jobs.run_next().result == "yes to tests.wait"

    def test_are_awaited_in_a_test_that_is_one(self, jobs: JobsInMemory) -> None:
        """The loop of the test is not in the way."""

        async def test() -> Job:
            wait.submit(answer="yes")
            return jobs.run_next()

        assert asyncio.run(test()).result == "yes to tests.wait"


class TestPlainFunctions:
    def test_run_in_the_thread_of_the_test(self, jobs: JobsInMemory) -> None:
        """There the test's transaction is, and whatever else belongs to a thread."""
        made: Callable[[], int] = threading.get_ident
        task("tests.thread")(lambda: made()).submit()  # noqa: PLW0108

        assert jobs.run_next().result == threading.get_ident()


class TestTheGuide:
    def test_shows_tests_that_pass(self, tmp_path: Path) -> None:
        """Its files, as they stand there, beside a bank."""
        files = dict(FILE.findall(GUIDE.read_text(encoding="utf-8")))
        for path, text in {**files, "shop/bank.py": BANK}.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")

        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir=."],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"},
            capture_output=True,
            text=True,
            check=False,
        )

        assert "4 passed" in done.stdout, done.stdout + done.stderr
