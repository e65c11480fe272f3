"""Pieces of PromQL over the metrics of `higr.metrics`: a metric that is not there cannot be written."""

from higr.metrics import Metric
from monitoring.alerting.rule import duration
from monitoring.alerting.settings import RuleSettings


class Promql:
    """Expressions under some settings: the namespace in every selector, windows by the time scale.

    A selector's matchers are written as in PromQL: `source!="higr"`. Windows are seconds.
    """

    def __init__(self, settings: RuleSettings) -> None:
        self._settings = settings

    def of(self, metric: Metric | str, *matchers: str, part: str = "") -> str:
        """A selector; `part` of a histogram is bucket, count or sum. A name is that of a recorded series.

        Raises:
            ValueError: a label the metric does not have.
        """
        name = metric
        if isinstance(metric, Metric):
            known = {*metric.labels, *(["le"] if part == "bucket" else [])}
            for matcher in matchers:
                label = matcher.split("=")[0].rstrip("!")
                if label not in known:
                    raise ValueError(f"{metric.name} has no label {label}")
            name = metric.name + {"counter": "_total", "histogram": f"_{part}"}.get(metric.kind, "")
        if self._settings.namespace:
            matchers = (*matchers, f'namespace="{self._settings.namespace}"')
        return f"{name}{{{', '.join(matchers)}}}" if matchers else str(name)

    def window(self, seconds: float) -> str:
        return duration(seconds, self._settings.time_scale)

    def rate(self, metric: Metric, seconds: float, *matchers: str, by: str = "", part: str = "") -> str:
        """Events a second, summed over all processes and what is not in `by`."""
        grouped = f"sum by ({by}) " if by else "sum"
        return f"{grouped}(rate({self.of(metric, *matchers, part=part)}[{self.window(seconds)}]))"

    def increase(self, metric: Metric, seconds: float, *matchers: str, by: str = "", part: str = "") -> str:
        """Events in the window, likewise."""
        grouped = f"sum by ({by}) " if by else "sum"
        return f"{grouped}(increase({self.of(metric, *matchers, part=part)}[{self.window(seconds)}]))"

    def quantile(self, share: float, metric: Metric, seconds: float, *matchers: str, by: str = "") -> str:
        """Of a histogram."""
        labels = ", ".join(filter(None, ("le", by)))
        return (
            f"histogram_quantile({share}, {self.rate(metric, seconds, *matchers, by=labels, part='bucket')})"
        )

    def average(self, metric: Metric, seconds: float, *matchers: str, by: str = "") -> str:
        """Of what a histogram observed."""
        over = self.rate(metric, seconds, *matchers, by=by, part="sum")
        return f"{over} / {self.rate(metric, seconds, *matchers, by=by, part='count')}"
