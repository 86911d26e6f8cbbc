from __future__ import annotations

from collections.abc import Iterator

import prometheus_client
import pytest

from rqube.snapshots import Snapshot


@pytest.fixture
def snapshot() -> Iterator[Snapshot]:
    made = Snapshot("test_colours", "Colours that are seen.", ["colour"])
    yield made
    prometheus_client.REGISTRY.unregister(made)


class TestSnapshot:
    def test_forgets_what_is_not_there_any_more(self, snapshot: Snapshot) -> None:
        """A worker that left must not stay in the metrics for as long as the process lives."""
        snapshot.replace({("red",): 1, ("blue",): 2})
        snapshot.replace({("blue",): 3})

        text = prometheus_client.generate_latest().decode()

        assert [line for line in text.splitlines() if line.startswith("test_colours{")] == [
            'test_colours{colour="blue"} 3.0'
        ]
