"""What stands in `k8s/rendered` is the chart."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests import helm

K8S = Path(__file__).parents[2] / "k8s"


class TestRendered:
    def test_is_what_the_chart_renders(self) -> None:
        """`make k8s` writes it; a copy kept by hand would drift."""
        values = yaml.safe_load((K8S / "values.yaml").read_text(encoding="utf-8"))
        names = ("--namespace", "rqube", "--skip-tests")
        rendered = helm.render(values, release="rqube", arguments=names)

        written = (K8S / "rendered" / "rqube.yaml").read_text(encoding="utf-8")

        assert [one for one in yaml.safe_load_all(written) if one] == rendered
