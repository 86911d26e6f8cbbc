from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from charts.monitoring import alert, objectives, rules
from charts.monitoring.__main__ import CHART
from charts.monitoring.alert import Alert
from tests.monitoring import programs, promql
from tests.monitoring.alert_cases import CASES, LATENCY, AlertCase, History, Q

FEWEST_ALERTS = 15
RULES = [CHART / "rules" / name for name in rules.files()]
SPOKEN_OF = re.compile(r"\$labels\.(\w+)")
PAGES = {"QueueStalled", "SchedulerNotTicking"}


def name_of(case: AlertCase) -> str:
    return f"{case.alert}-{case.minutes}"


def of_alert(one: Alert) -> str:
    return f"{one.name}-{dict(one.labels).get('long_window', '')}".removesuffix("-")


class TestAlerts:
    def test_are_enough(self) -> None:
        """Each of these has woken somebody somewhere."""
        assert len({one.name for one in rules.ALERTS}) >= FEWEST_ALERTS

    def test_have_a_case_each(self) -> None:
        """An alert that was never seen to fire may never do so."""
        assert {case.alert for case in CASES} == {one.name for one in rules.ALERTS}

    @pytest.mark.parametrize("one", rules.ALERTS, ids=of_alert)
    def test_speak_of_labels_that_they_have(self, one: Alert) -> None:
        """A label that the expression dropped is an empty place in the sentence."""
        [left] = itertools.islice(promql.asked(one.expr), 1)
        is_whole = left.metric in promql.recorded()
        there = promql.known()[left.metric] if is_whole else promql.grouped(one.expr)

        written = json.dumps(alert.rule(one)["annotations"])

        assert set(SPOKEN_OF.findall(written)) <= there

    @pytest.mark.parametrize("one", rules.ALERTS, ids=of_alert)
    def test_wake_people_for_few_things(self, one: Alert) -> None:
        """Who is woken for what can wait does not get up for what cannot."""
        if one.severity is objectives.Severity.CRITICAL:
            assert one.name in PAGES or one.name.endswith("BudgetBurn")

    @pytest.mark.parametrize("one", rules.ALERTS, ids=of_alert)
    def test_say_what_and_where(self, one: Alert) -> None:
        """Whoever is woken knows what is the case and where to read on."""
        annotations = alert.rule(one)["annotations"]

        assert one.summary.endswith((".", "})."))
        assert one.description.endswith(".")
        assert annotations["runbook_url"].endswith(".md")
        assert re.fullmatch(r"/d/rqube-\w+\?var-namespace=.*", annotations["dashboard_url"])

    @pytest.mark.parametrize("case", CASES, ids=name_of)
    def test_fire(self, case: AlertCase, tmp_path: Path) -> None:
        """In the history that it is made for, the alert fires and says what it is about."""
        labels = {"alertname": case.alert, "namespace": "here", **case.labels}

        run_promtool(tmp_path, case.fires, case.minutes, alerts=labels, expected=[labels])

    @pytest.mark.parametrize("case", CASES, ids=name_of)
    def test_rest(self, case: AlertCase, tmp_path: Path) -> None:
        """In histories that look like it and are none, the alert does not fire."""
        for history in case.rests:
            run_promtool(
                tmp_path, history, case.minutes, alerts={"alertname": case.alert}, expected=[]
            )


class TestBurnRates:
    def test_fire_the_windows_that_they_exceed(self, tmp_path: Path) -> None:
        """At 4 % of late starts a budget of 1 % burns 4 times too fast: no page, two warnings."""
        history = {
            f'{LATENCY}_bucket{{{Q},le="30.0"}}': "0+96x900",
            f"{LATENCY}_count{{{Q}}}": "0+100x900",
        }
        name = {"alertname": "QueueLatencyBudgetBurn"}

        run_promtool(
            tmp_path,
            history,
            800,
            alerts=name,
            expected=[
                {**name, "long_window": long, "severity": "warning"} for long in ("1d", "3d")
            ],
        )

    def test_end_soon_after_the_trouble(self, tmp_path: Path) -> None:
        """The long window remembers for an hour; the short one forgets in five minutes."""
        history = {
            f'{LATENCY}_bucket{{{Q},le="30.0"}}': "0+50x70 3600+100x130",
            f"{LATENCY}_count{{{Q}}}": "0+100x200",
        }
        page = {"alertname": "QueueLatencyBudgetBurn", "long_window": "1h"}

        run_promtool(tmp_path, history, 70, alerts=page, expected=[page])
        run_promtool(tmp_path, history, 77, alerts=page, expected=[])

    def test_spare_people_single_events(self, tmp_path: Path) -> None:
        """Ten jobs an hour, half of them late, are no reason to wake anybody."""
        history = {
            f'{LATENCY}_bucket{{{Q},le="30.0"}}': "0+0.08x200",
            f"{LATENCY}_count{{{Q}}}": "0+0.16x200",
        }

        run_promtool(
            tmp_path, history, 120, alerts={"alertname": "QueueLatencyBudgetBurn"}, expected=[]
        )


def run_promtool(
    folder: Path,
    history: History,
    minutes: int,
    *,
    alerts: Mapping[str, str],
    expected: Sequence[Mapping[str, str]],
) -> None:
    """Let promtool play the history, and compare the alerts that fire, by the labels expected."""
    by = ", ".join(sorted({name for labels in expected for name in labels} or alerts.keys()))
    where = _selector({"alertstate": "firing", **alerts})
    question = {
        "expr": f"max by ({by}) (ALERTS{where})",
        "eval_time": f"{minutes}m",
        "exp_samples": [{"labels": _selector(labels), "value": 1} for labels in expected],
    }
    played: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": told} for name, told in history.items()],
        "promql_expr_test": [question],
    }
    test = folder / "test.yaml"  # JSON is YAML
    test.write_text(
        json.dumps(
            {
                "rule_files": [str(path) for path in RULES],
                "evaluation_interval": "1m",
                "tests": [played],
            }
        ),
        encoding="utf-8",
    )

    ran = subprocess.run(
        [programs.find("promtool"), "test", "rules", test],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def _selector(labels: Mapping[str, str]) -> str:
    matchers = [f'{name}="{value}"' for name, value in labels.items()]
    return f"{{{','.join(matchers)}}}"
