"""Everything known about one job, for people."""

from __future__ import annotations

from rqube import errors
from rqube.cli import output
from rqube.cli.client import Document


def show(job: Document, attempts: Document) -> None:
    """Show a job, its error and its attempts; what is empty is left out."""
    output.fields(
        {
            "job": job["id"],
            "task": job["task"],
            "state": job["state"],
            "queue": job["queue"],
            "priority": job["priority"] or None,
            "params": job["params"],
            "tags": ", ".join(job["tags"]),
            "progress": job["progress"],
            "attempt": f"{job['attempt']}, failures {job['failures']} of {job['max_attempts']}",
            "crashes": job["crashes"] or None,
            "losses": job["losses"] or None,
            "time limit": output.seconds(job["timeout_seconds"]),
            "created": output.local_time(job["created_at"]),
            "due": output.local_time(job["run_at"]),
            "started": output.local_time(job["started_at"]),
            "finished": output.local_time(job["finished_at"]),
            "took": output.seconds_between(job["started_at"], job["finished_at"]),
            "worker": job["worker"],
            "pool": job["pool"],
            "schedule": job["schedule_id"],
            "planned": output.local_time(job["planned_at"]),
            "result": job["result"],
            "error": errors.summary(job["error"], at_most=2_000),
        }
    )
    if job["error"] and job["error"].get("traceback"):
        output.say(f"\n{job['error']['traceback'].rstrip()}")
    if attempts["attempts"]:
        output.say("")
        output.table(
            ["ATTEMPT", "OUTCOME", "STARTED", "TOOK", "WORKER", ""],
            [
                [
                    attempt["number"],
                    attempt["outcome"],
                    output.local_time(attempt["started_at"]),
                    output.seconds_between(attempt["started_at"], attempt["ended_at"]),
                    attempt["worker"],
                    errors.summary(attempt["error"], at_most=60),
                ]
                for attempt in attempts["attempts"]
            ],
            empty="",
        )
