"""A log compared with its prediction, and the interval in which the prediction says that it will lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulator.fidelity.prediction import predict
from simulator.fidelity.setup import ServedStage
from simulator.fidelity.summary import METRICS, summarise
from simulator.latency_tables import LatencyTable
from workloads.profile import ModelProfile
from workloads.server.log import RequestLog

__all__ = ["CALIBRATED_DRIFT", "LEAST_DRIFT", "SERVED_DRIFT", "Comparison", "Spread", "compare", "drift_of"]

LEAST_DRIFT = 0.016
"""One standard deviation between two runs of one server, where a profile's own drift is smaller: measured between runs
of ten models on an H200, seconds apart (docs/fidelity.md)."""

SERVED_DRIFT = 0.045
"""The same of served runs in the minutes after a profile: root mean square of 152 runs of eight jobs on an H200 with
CUDA graphs (`simulator.fidelity.drift`). Without graphs it was 0.09."""

CALIBRATED_DRIFT = 0.04
"""The same after a calibration on the first runs."""

COVERAGE = 0.9
_ROUNDING = 1e-9
"""Intervals are wider by so much of their ends: some are a point, but for the last bit."""


@dataclass(frozen=True)
class Spread:
    """How a prediction's uncertainty is reckoned.

    Attributes
    ----------
    replicates
        Predictions behind the interval.
    drift
        Standard deviation of the factor by which all latencies of one run differ from another's.
    point_runs
        Predictions with the profile as it is, behind the point prediction: it is their mean.
    seed
        Of all draws.
    """

    drift: float = LEAST_DRIFT
    replicates: int = 100
    point_runs: int = 10
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Comparison:
    """Measured against predicted, by metric in the order of `METRICS`.

    Attributes
    ----------
    measured, predicted, error, low, high
        ``[metric]``; ``error`` is predicted over measured, less 1; ``low`` and ``high`` bound 90 %.
    predicted_log
        One prediction, request by request.
    """

    measured: np.ndarray
    predicted: np.ndarray
    low: np.ndarray
    high: np.ndarray
    predicted_log: RequestLog

    @property
    def error(self) -> np.ndarray:
        return np.asarray(self.predicted / self.measured - 1.0)

    @property
    def covered(self) -> np.ndarray:
        """``[metric]`` whether the measured value lies in the interval."""
        return np.asarray((self.low <= self.measured) & (self.measured <= self.high))

    def as_document(self) -> dict[str, dict[str, float]]:
        """``measured``, ``predicted``, ``error``, ``low`` and ``high``, each by metric."""
        names = ("measured", "predicted", "error", "low", "high")
        return {name: dict(zip(METRICS, map(float, getattr(self, name)))) for name in names}


def drift_of(profile: ModelProfile, max_batch: int) -> float:
    """Root mean square of a profile's drift over the sizes up to the cap, and at least `LEAST_DRIFT`."""
    used = profile.drift[profile.batch_sizes <= max(max_batch, profile.batch_sizes[0])] if len(profile.drift) else []
    return max(LEAST_DRIFT, float(np.sqrt(np.mean(np.square(used)))) if len(used) else 0.0)


def compare(
    log: RequestLog,
    stages: Sequence[ServedStage],
    spread: Spread,
    items: np.ndarray | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Comparison:
    """Predict a log's arrivals and compare.

    Parameters
    ----------
    log
        What happened, in order of arrival.
    stages
        What served it.
    spread
        How the interval is reckoned: each replicate draws anew the profile (as many timings of each size as there
        were, from its quantiles), one factor on all latencies (the drift), and the luck of every batch. A twentieth of
        the replicates lie below ``low``, and as many above ``high``.
    items
        ``items[request]``, where stages count items; one each unless given.
    advance
        Called after each prediction.
    """
    first_s = float(log.arrival_s[0])
    arrival_s = log.arrival_s - first_s
    units = items if items is not None and stages[-1].counts_items else None

    def predicted(with_stages: Sequence[ServedStage], seed: int) -> tuple[np.ndarray, RequestLog]:
        made = predict(arrival_s, with_stages, seed, items)
        advance()
        return summarise(made, units), made

    generator = np.random.default_rng([spread.seed, 11])
    seeds = generator.integers(0, 1 << 62, spread.point_runs + spread.replicates).tolist()
    points = [predicted(stages, seed) for seed in seeds[: spread.point_runs]]
    replicates = [
        predicted([_drawn(stage, generator, spread.drift) for stage in stages], seed)[0]
        for seed in seeds[spread.point_runs :]
    ]
    low, high = np.quantile(replicates, [(1.0 - COVERAGE) / 2, (1.0 + COVERAGE) / 2], axis=0)
    low, high = low * (1.0 - _ROUNDING), high * (1.0 + _ROUNDING)
    one = points[0][1]
    shifted = replace(one, arrival_s=log.arrival_s, start_s=one.start_s + first_s, done_s=one.done_s + first_s)
    return Comparison(summarise(log, units), np.mean([row for row, _ in points], axis=0), low, high, shifted)


def _drawn(stage: ServedStage, generator: np.random.Generator, drift: float) -> ServedStage:
    """A stage as another profile of the same server, and another run of it, might have shown it."""
    table = stage.table
    rows = [
        np.quantile(np.interp(generator.random(int(runs)), table.levels, row), table.levels)
        for runs, row in zip(stage.runs, table.latency_s)
    ]
    again: LatencyTable = replace(table, latency_s=np.array(rows))
    return stage.with_table(again).scaled(float(np.exp(drift * generator.standard_normal())))
