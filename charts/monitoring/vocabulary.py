"""Names of metrics that rules and dashboards may use: ours come from `rqube.metrics`."""

from __future__ import annotations

from collections.abc import Mapping

FOREIGN: Mapping[str, frozenset[str]] = {
    "kube_horizontalpodautoscaler_spec_max_replicas": frozenset(
        {"namespace", "horizontalpodautoscaler"}
    ),
    "kube_horizontalpodautoscaler_status_current_replicas": frozenset(
        {"namespace", "horizontalpodautoscaler"}
    ),
    "kube_job_failed": frozenset({"namespace", "job_name", "condition"}),
    "kube_pod_deletion_timestamp": frozenset({"namespace", "pod"}),
}
"""Metrics of kube-state-metrics with the labels we ask for. Alerts only: without it they are
silent, and a dashboard must not have empty panels."""

SPARE: Mapping[str, str] = {
    "rqube_jobs_deleted_total": "who asks whether old jobs leave, when the database grows",
    "rq_request_processing_seconds": "a panel of Grafana's board 12196, made for rq-exporter",
}
"""Metrics of ours that neither a rule nor a dashboard uses, and whom they are for."""

TARGET_LABELS = frozenset({"namespace", "pod"})
"""Labels that the scrape adds to each series."""
