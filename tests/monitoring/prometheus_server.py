"""A Prometheus that scrapes services of a test every second."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from charts.monitoring import rules
from charts.monitoring.__main__ import CHART
from rqube.dev import servers
from tests.waiting import wait_until

NAMESPACE = "here"
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that runs."""

    http: httpx.Client

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """Give the series that answer an expression now, without those that are no number."""
        found: list[dict[str, Any]] = self._get("query", query=expr)["result"]
        return [series for series in found if not math.isnan(float(series["value"][1]))]

    def value(self, expr: str) -> float:
        """Give the one number that answers an expression; 0 without any."""
        return max((float(series["value"][1]) for series in self.ask(expr)), default=0.0)

    def firing(self) -> dict[str, dict[str, Any]]:
        """Give the alerts that fire, by name."""
        alerts = self._get("alerts")["alerts"]
        return {one["labels"]["alertname"]: one for one in alerts if one["state"] == "firing"}

    def broken_rules(self) -> list[str]:
        """Name the rules that could not be evaluated."""
        return [
            f"{rule['name']}: {rule['lastError']}"
            for group in self._get("rules")["groups"]
            for rule in group["rules"]
            if rule.get("lastError")
        ]

    def _get(self, path: str, **query: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/{path}", params=query)
        assert answer.is_success, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


@contextmanager
def running(program: Path, folder: Path, pods: Mapping[str, int]) -> Iterator[Prometheus]:
    """Start one with the chart's rules; `pods` are names and the ports of their metrics."""
    port = servers.free_port()
    configuration = folder / "prometheus.yaml"  # JSON is YAML
    configuration.write_text(json.dumps(_configuration(pods)), encoding="utf-8")
    command: list[str | Path] = [program, "--config.file", configuration]
    command += ["--storage.tsdb.path", folder / "prometheus", "--log.level", "warn"]
    command += ["--web.listen-address", f"127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_until(
                lambda: _is_ready(client),
                within=START_SECONDS,
                otherwise=lambda: (folder / "prometheus.log").read_text(encoding="utf-8"),
            )
            yield Prometheus(client)
    finally:
        process.kill()
        process.wait(10.0)


def _configuration(pods: Mapping[str, int]) -> dict[str, Any]:
    targets = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": NAMESPACE, "pod": pod}}
        for pod, port in pods.items()
    ]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(CHART / "rules" / name) for name in rules.files()],
        "scrape_configs": [{"job_name": "rqube", "static_configs": targets}],
    }


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").is_success
    except httpx.TransportError:
        return False
