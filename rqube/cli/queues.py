"""Commands about queues, the workers that serve them and the tasks that run."""

from __future__ import annotations

import urllib.parse
from typing import Annotated

import typer

from rqube.cli import client, output
from rqube.cli.client import Document
from rqube.cli.jobs import AsJson

app = typer.Typer()

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="Name of the queue.")]


@app.command("queues")
def list_queues(*, as_json: AsJson = False) -> None:
    """List queues and what waits in them."""
    api = client.connect()
    answer = api.get("/api/v1/queues")
    if as_json:
        output.document(answer)
        return
    output.table(
        ["QUEUE", "STATE", "WAITING", "DELAYED", "RUNNING", "OLDEST", "WORKERS", "SLOTS"],
        [
            [
                queue["name"],
                "paused" if queue["paused_at"] else "open",
                queue["waiting"],
                queue["delayed"],
                queue["running"],
                output.seconds(queue["oldest_seconds"]),
                queue["workers"],
                queue["slots"],
            ]
            for queue in answer["queues"]
        ],
        empty="No queues.",
    )


@app.command("pause-queue")
def pause_queue(queue: QueueName) -> None:
    """Pause a queue.

    What runs goes on; nothing else starts.
    """
    _do(queue, "pause")


@app.command("resume-queue")
def resume_queue(queue: QueueName) -> None:
    """Resume a queue."""
    _do(queue, "resume")


@app.command("workers")
def list_workers(*, as_json: AsJson = False) -> None:
    """List workers."""
    api = client.connect()
    answer = api.get("/api/v1/workers")
    if as_json:
        output.document(answer)
        return
    output.table(
        ["WORKER", "POOL", "STATE", "QUEUES", "RUNNING", "SLOTS", "VERSION", "STARTED", "SEEN"],
        [
            [
                worker["name"],
                worker["pool"],
                _state(worker),
                ", ".join(worker["queues"]),
                worker["running"],
                worker["threads"],
                worker["version"],
                output.local_time(worker["started_at"]),
                output.local_time(worker["seen_at"]),
            ]
            for worker in answer["workers"]
        ],
        empty="No workers. `rqube worker` starts one, `rqube dev` everything.",
    )


@app.command("tasks")
def list_tasks(*, as_json: AsJson = False) -> None:
    """List the tasks that jobs can run."""
    api = client.connect()
    answer = api.get("/api/v1/tasks")
    if as_json:
        output.document(answer)
        return
    output.table(
        ["TASK", "PARAMETERS", "QUEUE", "LANE", "TIME LIMIT", "ATTEMPTS", ""],
        [
            [
                task["name"],
                _parameters(task["params_schema"]),
                task["queue"],
                task["lane"],
                output.seconds(task["timeout_seconds"]),
                task["max_attempts"],
                task["description"],
            ]
            for task in answer["tasks"]
        ],
        empty="No tasks. `rqube migrate` and every worker register theirs.",
    )


def _do(queue: str, action: str) -> None:
    api = client.connect()
    api.post(f"/api/v1/queues/{urllib.parse.quote(queue, safe='')}/{action}")
    output.say(f"{queue} {action}d")


def _state(worker: Document) -> str:
    if not worker["is_alive"]:
        return "gone"
    return "draining" if worker["draining"] else "ready"


def _parameters(schema: Document) -> str:
    required = set(schema.get("required", ()))
    return " ".join(
        name if name in required else f"[{name}]" for name in schema.get("properties", {})
    )
