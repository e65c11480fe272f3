"""The rollout's own metrics, named by `higr.metrics`."""

import time

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway

from higr import metrics as names
from higr.errors import HigrError
from serving.rollout.config import RolloutConfig
from serving.rollout.decide import VERDICTS
from serving.rollout.evidence import SIDES
from serving.rollout.state import PHASES, State

PUSH_JOB, PUSH_SECONDS = "higr_rollout", 10.0


class Gauges:
    """Of the last look."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        known = (
            *(names.ROLLOUT_PHASE, names.ROLLOUT_PHASE_BEGAN, names.ROLLOUT_DECISION, names.ROLLOUT_WEIGHT),
            *(names.ROLLOUT_SLATES, names.ROLLOUT_EXCESS, names.ROLLOUT_LOOK),
        )
        self._gauges = {m.name: Gauge(m.name, m.help, m.labels, registry=self.registry) for m in known}

    def show(self, state: State, config: RolloutConfig) -> None:
        """In place of what was shown before."""
        for phase in PHASES:
            self._gauge(names.ROLLOUT_PHASE).labels(phase).set(float(phase == state.phase))
        for verdict in VERDICTS:
            self._gauge(names.ROLLOUT_DECISION).labels(verdict).set(float(verdict == state.verdict))
        self._gauge(names.ROLLOUT_PHASE_BEGAN).set(state.phase_began)
        self._gauge(names.ROLLOUT_WEIGHT).set(state.weight(config))
        for side in SIDES:
            self._gauge(names.ROLLOUT_SLATES).labels(side).set(state.counted.slates(side))
        self._gauge(names.ROLLOUT_EXCESS).clear()
        for finding in state.findings:
            for bound, value in (("low", finding.low), ("high", finding.high)):
                if value is not None:
                    self._gauge(names.ROLLOUT_EXCESS).labels(finding.measure, bound).set(value)
        self._gauge(names.ROLLOUT_LOOK).set(time.time())

    def push(self, gateway: str, namespace: str) -> None:
        """To a Pushgateway, in place of what was pushed before of this namespace.

        Raises:
            HigrError: it does not take them.
        """
        try:
            push_to_gateway(gateway, PUSH_JOB, self.registry, {"namespace": namespace}, timeout=PUSH_SECONDS)
        except OSError as error:  # urllib's errors are all of this kind
            raise HigrError(f"Pushgateway {gateway} did not take the metrics: {error}") from None

    def _gauge(self, metric: names.Metric) -> Gauge:
        return self._gauges[metric.name]
