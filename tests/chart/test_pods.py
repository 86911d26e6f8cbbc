"""What holds for every pod: its rights, its probes, its variables."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from tests import helm

CASES = sorted(path.name for path in (helm.CHART / "ci").glob("*-values.yaml"))
SERVICES = ["api", "scheduler", "worker"]
USER = 10001


@pytest.fixture(params=CASES)
def pods(request: pytest.FixtureRequest) -> dict[str, helm.Object]:
    """All pod templates of a values file, by what makes them."""
    text = (helm.CHART / "ci" / request.param).read_text(encoding="utf-8")
    found = dict(helm.pod_templates(helm.render(yaml.safe_load(text))))
    assert found
    return found


class TestEveryPod:
    def test_is_ended_by_a_signal_at_any_time(self, pods: dict[str, helm.Object]) -> None:
        """The first process of a container would not hear one until it has a handler for it."""
        ours = {name: one for name, one in pods.items() if not name.endswith(("postgres", "redis"))}
        for name, template in ours.items():
            assert template["spec"]["shareProcessNamespace"] is True, name

    def test_is_restricted(self, pods: dict[str, helm.Object]) -> None:
        """A namespace may enforce `restricted`, and no pod of ours is refused there."""
        for name, template in pods.items():
            spec = template["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True, name
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
            for volume in spec["volumes"]:
                assert volume.keys() & {"emptyDir", "projected"}, name
            for one in spec["containers"] + spec.get("initContainers", []):
                security = one["securityContext"]
                assert security["allowPrivilegeEscalation"] is False, name
                assert security["capabilities"] == {"drop": ["ALL"]}, name
                assert "privileged" not in security, name
                assert not any("hostPort" in port for port in one.get("ports", [])), name

    def test_writes_to_named_folders_only(self, pods: dict[str, helm.Object]) -> None:
        """What a stranger writes into an image's folders would be run at the next start."""
        for name, template in pods.items():
            for one in template["spec"]["containers"]:
                assert one["securityContext"]["readOnlyRootFilesystem"] is True, name
                assert "/tmp" in {mount["mountPath"] for mount in one["volumeMounts"]}, name  # noqa: S108
            for volume in template["spec"]["volumes"]:
                if "emptyDir" in volume and volume["name"] != "models":
                    assert volume["emptyDir"]["sizeLimit"], name

    def test_has_no_key_to_the_cluster(self, pods: dict[str, helm.Object]) -> None:
        """No process of ours talks to Kubernetes."""
        for name, template in pods.items():
            assert template["spec"]["automountServiceAccountToken"] is False, name

    def test_gets_no_variables_from_services(self, pods: dict[str, helm.Object]) -> None:
        """A Service called `rqube-api` would otherwise set `RQUBE_API_PORT` to an address."""
        for name, template in pods.items():
            assert template["spec"]["enableServiceLinks"] is False, name

    def test_names_each_thing_once(self, pods: dict[str, helm.Object]) -> None:
        """Helm 4 applies on the server, which refuses a list with a key that stands twice."""
        for name, template in pods.items():
            spec = template["spec"]
            lists = [(spec["containers"], "name"), (spec["volumes"], "name")]
            for one in spec["containers"]:
                lists += [
                    (one.get("env", []), "name"),
                    (one.get("ports", []), "name"),
                    (one.get("ports", []), "containerPort"),
                    (one["volumeMounts"], "mountPath"),
                ]
            for items, key in lists:
                counts = Counter(item[key] for item in items)
                assert [value for value, count in counts.items() if count > 1] == [], name

    def test_mounts_what_it_has(self, pods: dict[str, helm.Object]) -> None:
        """A mount without its volume, or a volume nobody mounts, is a mistake."""
        for name, template in pods.items():
            volumes = {volume["name"] for volume in template["spec"]["volumes"]}
            mounts = {
                mount["name"]
                for one in template["spec"]["containers"]
                for mount in one["volumeMounts"]
            }
            assert mounts == volumes, name

    def test_says_what_it_needs(self, pods: dict[str, helm.Object]) -> None:
        """Requests for the scheduler, and a limit of memory; none of CPU, which only throttles."""
        for name, template in pods.items():
            for one in template["spec"]["containers"]:
                assert one["resources"]["requests"].keys() == {"cpu", "memory"}, name
                assert one["resources"]["limits"].keys() == {"memory"}, name

    def test_starts_anew_with_other_settings(self, pods: dict[str, helm.Object]) -> None:
        """Variables are read at the start only."""
        for name, template in pods.items():
            if not name.endswith(("-redis", "-postgres")):
                assert template["metadata"]["annotations"]["checksum/settings"], name


class TestProbes:
    def test_of_the_api_ask_its_own_port(self) -> None:
        """Ready depends on Postgres and the schema, alive on the loop alone."""
        one = helm.container(helm.one(helm.render_external(), "Deployment", "-api"))

        assert one["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
        assert one["startupProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
        assert one["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}

    @pytest.mark.parametrize("name", ["-scheduler", "-worker-default"])
    def test_of_the_others_ask_the_port_of_metrics(self, name: str) -> None:
        """They serve nobody, so nobody waits for them to be ready."""
        one = helm.container(helm.one(helm.render_external(), "Deployment", name))

        assert one["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert one["startupProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert "readinessProbe" not in one

    @pytest.mark.parametrize("name", ["-api", "-scheduler", "-worker-default"])
    def test_are_patient(self, name: str) -> None:
        """A restart costs the jobs that run: half a minute of silence, and a minute to start."""
        one = helm.container(helm.one(helm.render_external(), "Deployment", name))

        live, start = one["livenessProbe"], one["startupProbe"]
        assert live["periodSeconds"] * live["failureThreshold"] >= 30
        assert start["periodSeconds"] * start["failureThreshold"] >= 60

    @pytest.mark.parametrize("name", ["-api", "-scheduler", "-worker-default"])
    def test_ask_ports_that_the_settings_open(self, name: str) -> None:
        """The processes read their ports from the ConfigMap."""
        objects = helm.render_external()
        settings = helm.one(objects, "ConfigMap", "-settings")["data"]
        ports = {
            port["name"]: str(port["containerPort"])
            for port in helm.container(helm.one(objects, "Deployment", name))["ports"]
        }

        assert ports["metrics"] == settings["RQUBE_METRICS_PORT"]
        assert ports.get("http", settings["RQUBE_API_PORT"]) == settings["RQUBE_API_PORT"]


class TestTheApi:
    def test_stops_after_the_proxies_have_heard(self) -> None:
        """5 s of still accepting, 1 s more of its own, 20 s for what is in hand."""
        deployment = helm.one(helm.render_external(), "Deployment", "-api")

        pause = helm.container(deployment)["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert pause == 5
        assert grace >= pause + 1 + 20

    def test_is_replaced_one_by_one(self) -> None:
        """None goes before its successor is ready."""
        deployment = helm.one(helm.render_external(), "Deployment", "-api")

        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0

    def test_scales_on_its_own_cpu(self) -> None:
        """A sidecar's is not counted."""
        objects = helm.render_external(api={"autoscaling": {"enabled": True, "cpuPercent": 55}})

        [metric] = helm.one(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
        assert metric["containerResource"]["container"] == "api"
        assert metric["containerResource"]["target"]["averageUtilization"] == 55

    @pytest.mark.parametrize(
        "route",
        [
            {"ingress": {"enabled": True, "host": "jobs.example.com"}},
            {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}},
        ],
    )
    def test_is_reached_from_outside_only_when_told(self, route: helm.Object) -> None:
        """There is no sign-in."""
        kinds = {"Ingress", "HTTPRoute"}

        assert not kinds & {this["kind"] for this in helm.render_external()}
        assert len(kinds & {this["kind"] for this in helm.render_external(api=route)}) == 1

    def test_listens_where_the_service_says(self) -> None:
        """The route and the command line of a pod follow the Service's port."""
        objects = helm.render_external(api={"service": {"port": 8080}})

        assert helm.one(objects, "Service", "-api")["spec"]["ports"][0]["port"] == 8080
        settings = helm.one(objects, "ConfigMap", "-settings")["data"]
        assert settings["RQUBE_API_URL"] == "http://prod-rqube-api:8080"


class TestImages:
    @pytest.mark.parametrize(
        ("image", "expected"),
        [
            ({}, "rqube-api:0.1.0"),
            ({"registry": "localhost", "tag": "dev"}, "localhost/rqube-api:dev"),
            ({"registry": "example.com/team/", "tag": "1"}, "example.com/team/rqube-api:1"),
            ({"repositoryPrefix": "jobs"}, "jobs-api:0.1.0"),
            (
                {"digests": {"api": f"sha256:{'a' * 64}"}, "tag": "1"},
                f"rqube-api@sha256:{'a' * 64}",
            ),
        ],
    )
    def test_are_put_together(self, image: helm.Object, expected: str) -> None:
        """A digest wins over a tag, and a tag over the release's number."""
        deployment = helm.one(helm.render_external(image=image), "Deployment", "-api")

        assert helm.container(deployment)["image"] == expected

    def test_come_from_the_registry_of_the_chart_above(self) -> None:
        """One value moves all parts of a larger chart."""
        values = {"global": {"imageRegistry": "mirror"}, "image": {"registry": "localhost"}}

        deployment = helm.one(helm.render_external(**values), "Deployment", "-api")

        assert helm.container(deployment)["image"] == "mirror/rqube-api:0.1.0"

    def test_of_the_users_own_run_the_migration_and_the_test(self) -> None:
        """The catalogue must know the user's tasks before any worker runs."""
        own = "example.com/shop/jobs:7"
        objects = helm.render_external(workers={"defaults": {"image": own}})

        for this in (
            helm.one(objects, "Deployment", "-worker-default"),
            *helm.every(objects, "Job"),
            helm.one(objects, "Pod", "-test-job"),
        ):
            assert helm.container(this)["image"] == own

    @pytest.mark.parametrize("service", SERVICES)
    def test_are_those_of_the_service(self, service: str) -> None:
        """Each service has an image, whose entry point takes its name."""
        objects = helm.render_external(workers={"pools": {"default": None, "p": {"queues": ["q"]}}})
        suffix = {"worker": "-worker-p"}.get(service, f"-{service}")

        one = helm.container(helm.one(objects, "Deployment", suffix))

        assert (one["name"], one["image"], one["args"]) == (
            service,
            f"rqube-{service}:0.1.0",
            [service],
        )


class TestOptionsOfPods:
    @pytest.mark.parametrize("component", ["api", "scheduler", "migrations"])
    def test_of_a_component_win(self, component: str) -> None:
        """`pods` is for all, its own keys for one; maps are merged."""
        objects = helm.render_external(
            pods={"podAnnotations": {"all": "1", "both": "1"}, "priorityClassName": "low"},
            **{component: {"podAnnotations": {"both": "2"}, "priorityClassName": "high"}},
        )

        [template] = [
            template
            for _, template in helm.pod_templates(objects)
            if template["metadata"]["labels"]["app.kubernetes.io/component"]
            == {"migrations": "migrate"}.get(component, component)
        ]
        annotations = template["metadata"]["annotations"]
        assert (annotations["all"], annotations["both"]) == ("1", "2")
        assert template["spec"]["priorityClassName"] == "high"

    def test_replace_what_the_chart_sets(self) -> None:
        """The user's variable wins, whatever its form, and stands once."""
        secret = {"secretKeyRef": {"name": "s", "key": "k"}}
        objects = helm.render_external(
            workers={
                "defaults": {
                    "extraEnv": {
                        "RQUBE_THREADS": "7",
                        "RQUBE_REDIS_URL": {"valueFrom": secret},
                        "DEBUG": True,
                    }
                }
            }
        )

        variables = helm.environment(helm.one(objects, "Deployment", "-worker-default"))

        assert variables["RQUBE_THREADS"] == "7"
        assert variables["RQUBE_REDIS_URL"] == secret
        assert variables["DEBUG"] == "true"

    def test_run_as_the_images_user(self) -> None:
        """By number, as `runAsNonRoot` asks; null leaves it to the platform."""
        fixed = helm.one(helm.render_external(), "Deployment", "-api")
        free = helm.one(helm.render_external(pods={"runAsUser": None}), "Deployment", "-api")

        security = fixed["spec"]["template"]["spec"]["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (USER, USER)
        assert "runAsUser" not in free["spec"]["template"]["spec"]["securityContext"]

    def test_never_hide_the_charts_labels(self) -> None:
        """Or a Service would lose its pods."""
        hostile = {"app.kubernetes.io/component": "mine", "rqube.io/pool": "mine"}
        objects = helm.render_external(
            pods={"podLabels": hostile}, **{"global": {"commonLabels": hostile}}
        )

        labels = helm.one(objects, "Deployment", "-worker-default")["spec"]["template"]["metadata"]
        assert labels["labels"]["app.kubernetes.io/component"] == "worker"
        assert labels["labels"]["rqube.io/pool"] == "default"
