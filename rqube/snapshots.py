"""A gauge whose series are replaced all at once: what is gone is not exported any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Snapshot(Collector):
    """What was seen at one moment; a scrape sees all of it, or all of the next."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = tuple(labels)
        self._values: Mapping[tuple[str, ...], float] = {}
        REGISTRY.register(self)

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """Show these values, by the values of their labels, and no others."""
        self._values = values

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Tell the registry the name."""
        return [self._family()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give the values to a scrape."""
        family = self._family()
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return [family]

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self.name, self.documentation, labels=self.labels)
