"""The ConfigMap and the variables of pods, beside what the services read."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
import yaml

from rqube import retention
from rqube.settings import PREFIX, Settings
from tests import helm

NOT_FOR_PODS = {"api_token", "revision"}
"""Of people who use the command line, and of the image, which knows its own."""


def variables(this: helm.Object) -> dict[str, object]:
    """Give what a pod of ours sees, without the prefix and in the case of `Settings`."""
    settings = helm.one(helm.render_external(), "ConfigMap", "-settings")["data"]
    return _fields({**settings, **helm.environment(this)})


class TestSettings:
    def test_are_all_within_reach(self) -> None:
        """A new setting must be given a place in the chart, or a reason against it."""
        worker = helm.one(helm.render_external(), "Deployment", "-worker-default")

        assert variables(worker).keys() == Settings.model_fields.keys() - NOT_FOR_PODS

    @pytest.mark.parametrize("name", ["-api", "-scheduler"])
    def test_of_the_other_services_exist(self, name: str) -> None:
        """A name that no service reads would have no effect."""
        this = helm.one(helm.render_external(), "Deployment", name)

        assert variables(this).keys() <= Settings.model_fields.keys()

    def test_are_accepted_by_the_services(self) -> None:
        """The texts of the ConfigMap, read as the services read them."""
        data = helm.one(_changed(), "ConfigMap", "-settings")["data"]

        read = Settings(**_fields(data))  # type: ignore[arg-type]  # texts, as in an environment

        assert read.tasks == ("shop.jobs", "shop.mail")
        assert read.lease_seconds == 20.5
        assert read.fetch_max_bytes == 123_456_789_012
        assert read.retention_days == "succeeded=1,failed=never"
        assert read.log_level == "DEBUG"

    def test_have_the_defaults_of_the_product(self) -> None:
        """The chart decides where processes listen, and nothing else."""
        data = helm.one(helm.render_external(), "ConfigMap", "-settings")["data"]

        read = Settings(**_fields(data))  # type: ignore[arg-type]  # texts, as in an environment

        differing = {
            field
            for field in _fields(data)
            if getattr(read, field) != Settings.model_fields[field].default
        }
        assert differing == {"api_host", "api_url", "metrics_host"}

    def test_have_the_limits_of_the_product(self) -> None:
        """What the schema lets through must not keep a service from starting."""
        schema = yaml.safe_load((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))
        product = Settings.model_json_schema()["properties"]
        limits = ("minimum", "maximum")

        for name, rule in schema["properties"]["settings"]["properties"].items():
            field = product[_snake(name)]
            assert {limit: rule[limit] for limit in limits if limit in rule} == {
                limit: field[limit] for limit in limits if limit in field
            }, name

    @pytest.mark.parametrize(
        ("text", "is_right"),
        [
            ("", True),
            ("failed=1", True),
            ("succeeded=9999,quarantined=never", True),
            ("failed=0", False),
            ("failed=10000", False),
            ("failed", False),
            ("queued=1", False),
        ],
    )
    def test_of_retention_are_what_the_product_reads(self, text: str, is_right: bool) -> None:  # noqa: FBT001 - a case
        """The schema refuses a text before a service does."""
        schema = yaml.safe_load((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))
        rule = schema["properties"]["settings"]["properties"]["retentionDays"]

        try:
            retention.parse(text)
        except ValueError:
            is_read = False
        else:
            is_read = True

        assert (re.search(rule["pattern"], text) is not None, is_read) == (is_right, is_right)

    def test_of_a_pool_have_the_limits_of_the_product(self) -> None:
        """The same for what a pool says."""
        schema = yaml.safe_load((helm.CHART / "values.schema.json").read_text(encoding="utf-8"))
        threads = schema["definitions"]["pool.threads"]
        product = Settings.model_json_schema()["properties"]["threads"]

        assert (threads["minimum"], threads["maximum"]) == (product["minimum"], product["maximum"])

    def test_open_the_ports_to_other_pods(self) -> None:
        """Probes and Prometheus come from elsewhere."""
        data = helm.one(helm.render_external(), "ConfigMap", "-settings")["data"]

        assert (data["RQUBE_API_HOST"], data["RQUBE_METRICS_HOST"]) == ("0.0.0.0", "0.0.0.0")  # noqa: S104


class TestServers:
    @pytest.mark.parametrize("name", ["-api", "-scheduler", "-worker-default"])
    def test_are_named_by_secrets(self, name: str) -> None:
        """No URL, which holds a password, stands in a pod or a ConfigMap."""
        seen = helm.environment(helm.one(helm.render_external(), "Deployment", name))

        for store in ("postgres", "redis"):
            assert seen[f"RQUBE_{store.upper()}_URL"] == {
                "secretKeyRef": {"name": f"rqube-{store}", "key": "url"}
            }

    def test_are_told_to_those_that_need_them(self) -> None:
        """The migration needs Postgres; the test asks the api, and needs neither."""
        objects = helm.render_external()

        [job] = helm.every(objects, "Job")
        assert helm.environment(job).keys() == {"RQUBE_POSTGRES_URL"}
        assert helm.environment(helm.one(objects, "Pod", "-test-job")) == {}

    @pytest.mark.parametrize("name", ["-api", "-scheduler", "-worker-default"])
    def test_can_be_files(self, name: str) -> None:
        """Files do not show where variables do."""
        this = helm.one(helm.render_external(secretFiles=True), "Deployment", name)

        seen = helm.environment(this)
        [volume] = [v for v in this["spec"]["template"]["spec"]["volumes"] if "projected" in v]
        [mount] = [m for m in helm.container(this)["volumeMounts"] if m["name"] == volume["name"]]
        paths = {
            f"{mount['mountPath']}/{source['secret']['items'][0]['path']}": source["secret"]["name"]
            for source in volume["projected"]["sources"]
        }
        assert paths[seen["RQUBE_POSTGRES_URL_FILE"]] == "rqube-postgres"
        assert paths[seen["RQUBE_REDIS_URL_FILE"]] == "rqube-redis"
        assert "RQUBE_POSTGRES_URL" not in seen

    def test_are_never_invented(self) -> None:
        """Without `dev.enabled` the chart writes no Secret."""
        assert helm.every(helm.render_external(), "Secret") == []

    def test_start_every_pod_anew_when_their_secrets_changed(self) -> None:
        """The chart cannot see it, so a value says it."""
        before, after = (
            dict(helm.pod_templates(helm.render_external(secretRevision=revision)))
            for revision in ("1", "2")
        )

        for name in before.keys() & after.keys():
            assert (before[name] != after[name]) is not name.endswith("-test-job"), name


class TestTheThrowAwayServers:
    def test_are_reached_by_the_urls_of_their_secret(self) -> None:
        """Host, port and password are those of their Services and containers."""
        objects = helm.render({"dev": {"enabled": True}})

        secret = helm.one(objects, "Secret", "-dev")["stringData"]
        for store, port in (("postgres", 5432), ("redis", 6379)):
            service = helm.one(objects, "Service", f"-{store}")
            address = f"@{service['metadata']['name']}:{port}/"
            assert address in secret[f"{store}-url"]
            assert f":{secret['password']}@" in secret[f"{store}-url"]
            assert service["spec"]["ports"][0]["port"] == port
        assert "public" in secret["password"]

    def test_are_those_that_every_pod_is_told_of(self) -> None:
        """Nothing else has to be said."""
        objects = helm.render({"dev": {"enabled": True}})

        for name in ("-api", "-scheduler", "-worker-default"):
            seen = helm.environment(helm.one(objects, "Deployment", name))
            assert seen["RQUBE_REDIS_URL"]["secretKeyRef"]["name"] == "prod-rqube-dev"

    def test_tell_keda_where_redis_is(self) -> None:
        """From another namespace, so with ours in the name."""
        objects = helm.render(
            {"dev": {"enabled": True}, "workers": {"defaults": {"autoscaling": {"enabled": True}}}},
            arguments=["--namespace=jobs"],
        )

        held = helm.one(objects, "Secret", "-dev")["stringData"]
        refs = helm.one(objects, "TriggerAuthentication")["spec"]["secretTargetRef"]
        told = {ref["parameter"]: held[ref["key"]] for ref in refs}
        assert told == {
            "host": "prod-rqube-redis.jobs",
            "port": "6379",
            "password": held["password"],
        }


def _changed() -> list[helm.Object]:
    return helm.render_external(
        settings={
            "tasks": ["shop.jobs", "shop.mail"],
            "leaseSeconds": 20.5,
            "fetchMaxBytes": 123_456_789_012,
            "retentionDays": "succeeded=1,failed=never",
            "logLevel": "DEBUG",
        }
    )


def _fields(seen: dict[str, object]) -> dict[str, object]:
    return {name.removeprefix(PREFIX).lower(): value for name, value in seen.items()}


def _snake(name: str) -> str:
    return "".join(_lowered(name))


def _lowered(name: str) -> Iterable[str]:
    return (f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
