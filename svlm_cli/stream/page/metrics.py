"""Figures of all channels as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from svlm_cli.stream.page.figures import BOUNDS, Figures

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GAUGES: Mapping[str, tuple[str, Callable[[Figures], float]]] = {
    "svlm_lag_seconds": ("Lag of the last step.", lambda each: each.lag_seconds),
    "svlm_cached_tokens": ("Tokens in the cache after the last step.", lambda each: each.cached_tokens),
}
_COUNTERS: Mapping[str, tuple[str, Callable[[Figures], float]]] = {
    "svlm_skipped_seconds": ("Seconds of the stream left out.", lambda each: each.skipped_seconds),
    "svlm_words": ("Words said.", lambda each: each.words),
    "svlm_tokens": ("Tokens generated.", lambda each: each.tokens),
    "svlm_reconnects": ("How often the source came back.", lambda each: each.num_reconnects()),
}


class ChannelCollector(Collector):
    """Reads the figures at every scrape: a channel that goes leaves no series behind.

    Args:
        figures: the figures of the channels there are, by name.
        num_viewers: how many look on.
    """

    def __init__(self, figures: Callable[[], Mapping[str, Figures]], num_viewers: Callable[[], int]) -> None:
        self._figures = figures
        self._num_viewers = num_viewers

    def collect(self) -> Iterator[Metric]:
        """One family of series after the other."""
        figures = self._figures()
        steps = HistogramMetricFamily("svlm_step_seconds", "Wall time of a step.", labels=["channel"])
        for name, each in figures.items():
            bounds = [*(str(bound) for bound in BOUNDS), "+Inf"]
            buckets = list(zip(bounds, accumulate(each.steps_within), strict=True))
            steps.add_metric([name], buckets, each.step_seconds)
        yield steps
        for families, kind in ((_GAUGES, GaugeMetricFamily), (_COUNTERS, CounterMetricFamily)):
            for title, (told, value) in families.items():
                family = kind(title, told, labels=["channel"])
                for name, each in figures.items():
                    family.add_metric([name], value(each))
                yield family
        yield GaugeMetricFamily("svlm_viewers", "Viewers of the page.", value=self._num_viewers())


def metrics_registry(collector: ChannelCollector) -> CollectorRegistry:
    """A registry of our own: what else a process counts is not ours to tell."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def metrics_text(registry: CollectorRegistry) -> bytes:
    """What a scrape gets."""
    return generate_latest(registry)
