from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from charts.monitoring import grafana, panels, queries
from charts.monitoring.__main__ import CHART, files
from charts.monitoring.panels import Dashboard, Kind

DASHBOARDS = queries.DASHBOARDS
UIDS = ["rqube-overview", "rqube-queues", "rqube-services", "rqube-tasks"]
MOST_BYTES = 1_000_000
RANGE = re.compile(r"\[([^\]]*)\]")


def uid_of(dashboard: Dashboard) -> str:
    return dashboard.uid


class TestFiles:
    def test_are_those_of_the_code(self) -> None:
        """What the chart carries was made from the code as it is."""
        for name, text in files().items():
            assert (CHART / name).read_text(encoding="utf-8") == text, "run `make dashboards`"

    def test_fit_into_a_config_map(self) -> None:
        """Kubernetes takes at most 1 MiB in one object."""
        assert [name for name, text in files().items() if len(text) > MOST_BYTES] == []

    def test_of_dashboards_are_json(self) -> None:
        """Grafana reads them as they are."""
        for name, text in files().items():
            if name.startswith("dashboards/"):
                assert json.loads(text)["uid"] == name[len("dashboards/") : -len(".json")]


class TestDashboards:
    def test_keep_their_addresses(self) -> None:
        """Runbooks, alerts and people's bookmarks name them."""
        assert sorted(map(uid_of, DASHBOARDS)) == UIDS

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_let_the_datasource_be_chosen(self, dashboard: Dashboard) -> None:
        """A datasource has another name in every Grafana."""
        rendered = grafana.render(dashboard)

        assert {json.dumps(found) for found in _values(rendered, "datasource")} <= {
            json.dumps(grafana.DATASOURCE),
            json.dumps("${datasource}"),
        }
        assert rendered["templating"]["list"][0]["type"] == "datasource"

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_explain_every_panel(self, dashboard: Dashboard) -> None:
        """A number without a unit and a sentence is read wrongly at night."""
        for panel in panels.panels(dashboard):
            assert panel.unit, panel.title
            assert panel.description.endswith("."), panel.title
            assert panel.queries or panel.kind is Kind.ALERTS, panel.title

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_name_every_series(self, dashboard: Dashboard) -> None:
        """A legend of labels in braces is unreadable."""
        for panel in panels.panels(dashboard):
            assert all(query.legend for query in panel.queries), panel.title

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_name_each_panel_once(self, dashboard: Dashboard) -> None:
        """People speak of panels by their titles."""
        titles = [panel.title for panel in panels.panels(dashboard)]

        assert len(set(titles)) == len(titles)

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_fit_their_ranges_to_the_scrape(self, dashboard: Dashboard) -> None:
        """A fixed range is empty where scrapes are rarer, and skips where the step is longer."""
        for panel in panels.panels(dashboard):
            ranges = {found for query in panel.queries for found in RANGE.findall(query.expr)}
            assert ranges <= {"$__rate_interval"}, panel.title

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_heed_every_variable(self, dashboard: Dashboard) -> None:
        """A choice that changes nothing misleads."""
        exprs = [query.expr for panel in panels.panels(dashboard) for query in panel.queries]

        assert [expr for expr in exprs if 'namespace="$namespace"' not in expr] == []
        for variable in panels.variables(dashboard):
            assert any(f"${variable.name}" in expr for expr in exprs), variable.name

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_show_nothing_where_there_is_nothing(self, dashboard: Dashboard) -> None:
        """A zero that was made up looks like health."""
        exprs = [query.expr for panel in panels.panels(dashboard) for query in panel.queries]

        assert [expr for expr in exprs if "vector" in expr] == []

    @pytest.mark.parametrize("dashboard", DASHBOARDS, ids=uid_of)
    def test_lay_panels_side_by_side(self, dashboard: Dashboard) -> None:
        """No panel covers another, or leaves the page."""
        cells: set[tuple[int, int]] = set()
        for panel in grafana.render(dashboard)["panels"]:
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= grafana.COLUMNS
            covered = {
                (place["x"] + right, place["y"] + down)
                for right in range(place["w"])
                for down in range(place["h"])
            }
            assert not cells & covered, panel["title"]
            cells |= covered


def _values(document: Any, key: str) -> Iterator[object]:
    """Find what stands under a key, however deep."""
    if isinstance(document, dict):
        if key in document:
            yield document[key]
        document = list(document.values())
    if isinstance(document, list):
        for part in document:
            yield from _values(part, key)
