"""The names of keys: RQ's own, with its prefix `rq:`, and four of ours."""

from __future__ import annotations

QUEUES = "rq:queues"
WORKERS = "rq:workers"
WORKER = "rq:worker:"  # + name of a worker

PAUSED = "rqube:paused"  # set of names of paused queues: a copy of what Postgres says
CLOSED = "rqube:paused:"  # + queue: set of one member while the queue is paused, for autoscalers
EPOCH = "rqube:epoch"  # which filling of Redis this is; absent after a flush
BACKLOG = "rqube:backlog:"  # + queue: exists while older jobs of the queue wait in Postgres


def waiting(queue: str) -> str:
    """List of the ids that wait."""
    return f"rq:queue:{queue}"


def intermediate(queue: str) -> str:
    """List of the ids that an idle worker just took."""
    return f"rq:queue:{queue}:intermediate"


def wip(queue: str) -> str:
    """Sorted set of `id:execution`; the score says when RQ counts it as abandoned."""
    return f"rq:wip:{queue}"


def job(job_id: str) -> str:
    """Hash of RQ's record of a job."""
    return f"rq:job:{job_id}"


def execution(job_id: str, execution_id: str) -> str:
    """Hash of RQ's record of one execution."""
    return f"rq:execution:{job_id}:{execution_id}"


def executions(job_id: str) -> str:
    """Sorted set of a job's executions."""
    return f"rq:executions:{job_id}"


def registry(name: str, queue: str) -> str:
    """Sorted set of ended jobs: `finished`, `failed` or `canceled` (RQ's spelling)."""
    return f"rq:{name}:{queue}"
