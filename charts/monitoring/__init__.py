"""The recording rules, alerts and dashboards of the chart, as code.

`make dashboards` writes them to `charts/rqube/rules` and `charts/rqube/dashboards`; `make check`
fails when these differ from the code. Each alert has a page in `docs/runbooks` and a pair of cases
in `tests/monitoring/alert_cases.py`: one in which it fires, and one in which it does not.
"""
