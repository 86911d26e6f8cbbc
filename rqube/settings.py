"""Every setting, once: its name, unit, default and reason.

Read from the environment with the prefix `RQUBE_`; `RQUBE_<NAME>_FILE` names a file that holds
the value instead, for secrets. This is the only module that reads the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rqube import retention

PREFIX = "RQUBE_"
NAME_PATTERN = r"^[a-z0-9._-]{1,64}$"
"""What queues, pools and tasks may be called."""

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
NameList = Annotated[tuple[Name, ...], NoDecode]
TextList = Annotated[tuple[str, ...], NoDecode]
Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """All settings of all services; frozen, built once per process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="ignore", use_attribute_docstrings=True
    )

    # Where the servers are

    postgres_url: str = "postgresql://rqube@127.0.0.1:5432/rqube"
    """The database, which holds every fact."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Redis or Valkey, which carries the ids of jobs to the workers."""

    # The api, and the port of every service for probes and metrics

    api_host: str = "127.0.0.1"
    """Address that the api listens on."""
    api_port: Port = 8000
    """Port of the api, for JSON and pages."""
    metrics_host: str = "127.0.0.1"
    """Address for `/metrics` of every service, and `/livez` of worker and scheduler."""
    metrics_port: Port = 9100
    """Port for the same; 0 takes any free one."""
    api_url: str = "http://127.0.0.1:8000"
    """Where the command line finds the api."""
    api_token: str = ""
    """Sent by the command line as a bearer token."""
    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    """Largest body of a request."""

    # What runs where

    tasks: TextList = ()
    """Import paths of modules that declare tasks, beside the built-in and installed ones."""
    pool: Name = "default"
    """Name of the set of identical workers that this one belongs to."""
    queues: NameList = ("default",)
    """Queues that this worker serves, in order of priority."""
    threads: int = Field(default=32, ge=1, le=1000)
    """Jobs that one worker process runs at a time."""
    child_memory_bytes: int = Field(default=0, ge=0)
    """Memory limit of a child of the process lane; 0 is none."""

    # A worker that stays silent for as long as its lease has lost its jobs

    lease_seconds: float = Field(default=15.0, ge=1.0, le=3600.0)
    """How long a claim holds without renewal; longer survives longer outages of Postgres."""
    grace_seconds: float = Field(default=25.0, ge=0.0, le=86400.0)
    """From SIGTERM to the exit of a worker; keep it below the platform's own limit."""
    max_result_bytes: int = Field(default=1_048_576, ge=1024)
    """Largest result of a job, as JSON."""

    # Redis holds a bounded window of each queue, and the newest records of ended jobs

    window_jobs: int = Field(default=10_000, ge=100)
    """Most ids of one queue in Redis; a longer backlog waits in Postgres."""
    record_seconds: int = Field(default=500, ge=0)
    """How long RQ's record of an ended job stays in Redis; 0 keeps none."""
    record_jobs: int = Field(default=10_000, ge=0)
    """Most records of ended jobs that stay in Redis for one queue; 0 keeps none."""

    # Postgres keeps ended jobs for a while

    retention_days: str = retention.DEFAULT_DAYS
    """Days that ended jobs are kept, by state: pairs such as `failed=30`, or `failed=never`."""

    # The task url.length

    fetch_allow: str = ""
    """What `url.length` may reach beside public addresses: pairs such as `10.1.0.0/16:443`."""
    fetch_max_bytes: int = Field(default=10_000_000, ge=1)
    """Most bytes that `url.length` downloads."""

    # What the process says about itself

    revision: str = ""
    """Commit that the image was built from, for `rqube_build_info`; images carry it."""
    log_format: Literal["json", "text"] = "json"
    """`json` for programs, `text` for people."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level that is written."""

    @field_validator("tasks", "queues", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("queues")
    @classmethod
    def _at_least_one(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            message = "needs at least one queue"
            raise ValueError(message)
        return tuple(dict.fromkeys(value))

    @field_validator("retention_days")
    @classmethod
    def _legible(cls, value: str) -> str:
        retention.parse(value)
        return value

    @property
    def ages(self) -> retention.Ages:
        """How long ended jobs are kept, by state."""
        return retention.parse(self.retention_days)

    @property
    def lease(self) -> timedelta:
        """How long a claim holds without renewal."""
        return timedelta(seconds=self.lease_seconds)

    @classmethod
    def load(cls) -> Self:
        """Read the environment, and the files that `RQUBE_<NAME>_FILE` name.

        Raises:
            pydantic.ValidationError: names each setting that is wrong.
            OSError: a file that is named cannot be read.
        """
        return cls(**_from_files(os.environ))


def environment() -> dict[str, str]:
    """Copy this process' environment, for processes it starts."""
    return dict(os.environ)


def _from_files(env: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for field in Settings.model_fields:
        path = env.get(f"{PREFIX}{field.upper()}_FILE")
        if path:
            values[field] = Path(path).read_text(encoding="utf-8").strip()
    return values
