"""What Helm says after an installation: how to begin, and what is risky."""

from __future__ import annotations

import pytest

from tests import helm

SAFE: helm.Object = helm.merged(
    helm.EXTERNAL,
    {
        "image": {"registry": "registry.example.com"},
        "networkPolicy": {
            "postgres": {"to": [{"podSelector": {}}]},
            "redis": {"to": [{"podSelector": {}}]},
        },
    },
)


class TestNotes:
    def test_say_how_to_begin(self) -> None:
        """Commands that can be copied, and the pools."""
        said = helm.notes(SAFE)

        assert "helm test prod --namespace default" in said
        assert "port-forward service/prod-rqube-api 8000:80" in said
        assert "default: default; 2 replicas x 32 threads, 210 s to stop" in said

    def test_warn_of_nothing_when_nothing_is_risky(self) -> None:
        """Or nobody would read them."""
        assert "Mind:" not in helm.notes(SAFE)

    @pytest.mark.parametrize(
        ("values", "warning"),
        [
            ({"image": {"registry": ""}}, "image.registry is empty"),
            ({"networkPolicy": {"enabled": False}}, "networkPolicy.enabled is false"),
            ({"networkPolicy": {"redis": {"to": []}}}, "networkPolicy.redis.to is empty"),
            ({"networkPolicy": {"postgres": {"to": []}}}, "any address on port 5432"),
            ({"api": {"ingress": {"enabled": True}}}, "no sign-in"),
            ({"api": {"service": {"type": "NodePort"}}}, "no sign-in"),
            ({"settings": {"fetchAllow": "10.0.0.0/8:80"}}, "settings.fetchAllow"),
            ({"migrations": {"mode": "none"}}, "migrations.mode is none"),
            ({"api": {"replicas": 1}}, "api.replicas is below 2"),
            ({"scheduler": {"replicas": 1}}, "scheduler.replicas is below 2"),
            (
                {"workers": {"defaults": {"egress": {"internet": True}}}},
                "workers.pools.default.egress.internet",
            ),
            (
                {"workers": {"defaults": {"longestJobSeconds": 600}}},
                "workers.pools.default.longestJobSeconds",
            ),
            (
                {"workers": {"pools": {"default": {"replicas": 0}}}},
                "workers.pools.default.replicas is 0",
            ),
            (
                {"workers": {"defaults": {"resources": {"limits": {"memory": None}}}}},
                "workers.pools.default.resources.limits.memory",
            ),
        ],
        ids=str,
    )
    def test_warn(self, values: helm.Object, warning: str) -> None:
        """Each with the key that it is about."""
        said = helm.notes(helm.merged(SAFE, values)).partition("Mind:")[2]

        assert warning in said
        assert said.count("\n  - ") == 1

    def test_warn_of_the_throw_away_servers(self) -> None:
        """Whoever keeps jobs there loses them."""
        said = helm.notes({"dev": {"enabled": True}})

        assert "dev.enabled: Postgres and Redis are throw-away" in said
        assert "networkPolicy" not in said
