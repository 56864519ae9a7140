"""Correction of planned demand by the latency that was really met."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulator.policy import FleetFacts, Observation

__all__ = ["LatencyFeedback"]

RAISE, RELAX, MOST = 1.05, 0.995, 2.0
FEWEST_REQUESTS = 100


class LatencyFeedback:
    """A factor on each service's demand that grows while its latency objective is missed without excuse.

    Throughputs are computed for a certain kind of traffic; burstier traffic needs more replicas than they say. After
    an interval that missed the objective although the ready replicas should have sufficed for it, and with none
    still starting, the factor is raised by 5 %, to 2 at most; otherwise it relaxes towards 1 by 0.5 %. So it settles
    where about one interval in eleven misses. A lack of replicas (a flash crowd outruns their start) teaches nothing.

    Parameters
    ----------
    facts
        The fleet; ``slo_quantile`` chooses among the percentiles observed (50, 95, 99) the next above, at most 99.
    served_rps
        Function from ``replicas[variant, node_type]`` to the rate of each ``[stage]`` that they should suffice for;
        that of the facts if not given.
    raised, relaxed
        What the factor is multiplied by.

    Attributes
    ----------
    factor
        ``[service]``, 1 at first.
    """

    def __init__(
        self,
        facts: FleetFacts,
        served_rps: Callable[[np.ndarray], np.ndarray] | None = None,
        raised: float = RAISE,
        relaxed: float = RELAX,
    ) -> None:
        self._facts = facts
        self._served_rps = served_rps or facts.served_rps
        self._raised, self._relaxed = raised, relaxed
        self._column = np.searchsorted([0.5, 0.95], np.minimum(facts.slo_quantile, 0.99))
        self.factor = np.ones(len(facts.services))

    def learn(self, observation: Observation) -> np.ndarray:
        """Take in the interval that ended now; the new factor."""
        facts = self._facts
        percentiles = np.stack([observation.p50_s, observation.p95_s, observation.p99_s])
        latency_s = percentiles[self._column, np.arange(len(facts.services))]
        enough = observation.completed >= FEWEST_REQUESTS
        missed = enough & (np.nan_to_num(latency_s) > facts.slo_s)
        self.factor = np.where(
            missed & self._should_suffice(observation),
            np.minimum(self.factor * self._raised, MOST),
            np.maximum(self.factor * self._relaxed, 1.0),
        )
        return self.factor

    def _should_suffice(self, observation: Observation) -> np.ndarray:
        """``[service]`` true where every stage's ready replicas cover the interval's rate and none is starting."""
        facts = self._facts
        enough = self._served_rps(observation.ready) >= observation.stage_rps
        settled = enough & (facts.by_stage(observation.starting.sum(axis=1)) == 0)
        suffices = np.ones(len(facts.services), dtype=bool)
        np.logical_and.at(suffices, facts.stage_service, settled)
        return suffices
