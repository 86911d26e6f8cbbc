"""Values that cannot work together are refused, with the key to change."""

from __future__ import annotations

import pytest

from tests import helm

SCALED = {"enabled": True}
DEV: helm.Object = {"dev": {"enabled": True}}


def pools(**named: helm.Object) -> helm.Object:
    """Replace the pools."""
    return {"workers": {"pools": {"default": None, **named}}}


class TestCombinations:
    @pytest.mark.parametrize(
        ("values", "keys"),
        [
            ({"postgres": {"existingSecret": ""}}, ["postgres.existingSecret"]),
            ({"redis": {"existingSecret": ""}}, ["redis.existingSecret"]),
            (DEV, ["postgres.existingSecret", "redis.existingSecret", "dev.enabled"]),
            (pools(), ["workers.pools"]),
            (pools(on={"queues": ["q"]}), ["workers.pools.on"]),
            (
                pools(
                    a={"queues": ["q"], "autoscaling": SCALED},
                    b={"queues": ["q"], "autoscaling": SCALED},
                ),
                ["workers.pools.a.queues", "workers.pools.b.queues"],
            ),
            (
                pools(a={"queues": ["x", "q"], "autoscaling": SCALED}, b={"queues": ["q"]}),
                ["workers.pools.a.queues: q is also served by another pool (b)"],
            ),
            (
                pools(a={"queues": ["q"], "autoscaling": {**SCALED, "minReplicas": 30}}),
                ["workers.pools.a.autoscaling.minReplicas"],
            ),
            (
                {"redis": {"hostKey": ""}, **pools(a={"queues": ["q"], "autoscaling": SCALED})},
                ["redis.hostKey"],
            ),
            (
                pools(a={"queues": ["q"], "childMemoryBytes": 600 * 1024**2}),
                ["workers.pools.a.childMemoryBytes"],
            ),
            (
                {"api": {"autoscaling": {"enabled": True, "minReplicas": 11}}},
                ["api.autoscaling.minReplicas"],
            ),
            (
                {"api": {"autoscaling": SCALED, "resources": {"requests": {"cpu": None}}}},
                ["api.resources.requests.cpu"],
            ),
            (
                {
                    "api": {
                        "ingress": SCALED,
                        "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]},
                    }
                },
                ["api.ingress.enabled", "api.httpRoute.enabled"],
            ),
            ({"api": {"httpRoute": SCALED}}, ["api.httpRoute.parentRefs"]),
            ({"api": {"service": {"nodePort": 30080}}}, ["api.service.nodePort"]),
            (
                {"serviceAccount": {"create": False, "annotations": {"a": "b"}}},
                ["serviceAccount.annotations"],
            ),
        ],
        ids=str,
    )
    def test_are_refused(self, values: helm.Object, keys: list[str]) -> None:
        """The message names each key that is at fault."""
        with pytest.raises(helm.Refused) as refusal:
            helm.render_external(**values)

        assert "these values cannot work" in str(refusal.value)
        for key in keys:
            assert key in str(refusal.value)

    def test_are_all_named_at_once(self) -> None:
        """Nobody has to find them one by one."""
        with pytest.raises(helm.Refused) as refusal:
            helm.render(pools())

        assert str(refusal.value).count("\n- ") == 3

    @pytest.mark.parametrize("store", ["postgres", "redis"])
    def test_of_missing_secrets_say_how_to_make_one(self, store: str) -> None:
        """With the key that the values ask for, in the namespace of the release."""
        values = helm.merged(helm.EXTERNAL, {store: {"existingSecret": "", "urlKey": "dsn"}})

        with pytest.raises(helm.Refused) as refusal:
            helm.render(values, arguments=["--namespace=jobs"])

        command = (
            f"kubectl --namespace jobs create secret generic rqube-{store} --from-literal=dsn="
        )
        assert command in str(refusal.value)

    def test_that_only_look_alike_are_accepted(self) -> None:
        """Pools that do not scale by themselves may share a queue."""
        assert helm.render_external(**pools(a={"queues": ["q"]}, b={"queues": ["q"]}))
