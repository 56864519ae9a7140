"""What a profile cannot know, fitted on logs of a real server: how much longer served batches take, and how they vary.

A batch of a log that took ``took_s``, begun ``idle_s`` after the one before had ended, is modelled as

    took_s = factor * profile_s(units) + cold_s * (1 - exp(-idle_s / COLD_AFTER_S)) + noise

with one factor for all sizes, ``cold_s >= 0`` of an idle machine whose caches have gone cold, and noise whose relative
size is the same for all sizes (so that residuals are divided by ``profile_s``). A time of its own for each batch is not
fitted: logs at low load hardly tell it from the factor, and it is wrong by much where it is carried to small batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulator.fidelity.setup import COLD_AFTER_S, ServedStage, gone_cold, idle_before_s
from workloads.errors import InputError
from workloads.server.log import RequestLog

__all__ = ["Calibration", "ServedBatches", "batches_of", "factor_of", "fit"]

_OUTLIER = 3.0
"""Batches that took more than so many times what is usual over their profile are left out, and counted."""

_LEAST_BATCHES = 50

_LEAST_TOLD = 20.0
"""So many batches on a warm machine and as many on a cold one tell the two apart."""


@dataclass(frozen=True)
class ServedBatches:
    """Batches of one replica in order of time: ``units[batch]``, ``took_s[batch]``, ``idle_s[batch]`` before it."""

    name: str
    units: np.ndarray
    took_s: np.ndarray
    idle_s: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """What was fitted.

    Attributes
    ----------
    name
        The profile, or the server's job, that it belongs to.
    factor
        Served batches take so many times what the profile says.
    cold_s
        And so much longer after an idle time.
    drift
        Standard deviation of the factor from log to log; 0 from one log.
    correlation
        Of what one batch takes beyond the model with the next, by ratio.
    batches, left_out
        How many were used, and how many took too long to be.
    fitted_on
        Names of the logs: predictions of these are no test of it.
    assembly
        Whether it lies beside the measured assembly of batches, as of a server's job, or holds it.
    turn_s, turn_waiting_s
        Of replicas that take turns on one GPU: what a batch takes longer after one of another replica
        (`simulator.fidelity.turns`). None where that was not fitted.
    """

    name: str
    factor: float
    cold_s: float
    drift: float
    correlation: float
    batches: int
    left_out: int
    fitted_on: Mapping[str, str]
    assembly: bool = False
    turn_s: float | None = None
    turn_waiting_s: float | None = None

    def updated(self, stage: ServedStage, log: ServedBatches, fingerprint: str) -> Calibration:
        """The calibration after one more log: half way to that log's own factor, so that old logs fade.

        Machines drift within minutes (``docs/fidelity.md``), which makes the last log tell more than those before it.
        """
        factor = float(np.sqrt(self.factor * factor_of(stage, log, self.cold_s)))
        return replace(self, factor=factor, fitted_on={**self.fitted_on, log.name: fingerprint})

    def mended(self, stage: ServedStage) -> ServedStage:
        """The stage with latencies as served, of machines that go cold as well."""
        table = stage.scaled(self.factor).table
        turns = table.interference
        if turns is not None and self.turn_s is not None and self.turn_waiting_s is not None:
            turns = replace(turns, turn_s=self.turn_s, turn_waiting_s=self.turn_waiting_s)
        return stage.with_table(replace(table, cold_s=self.cold_s, cold_after_s=COLD_AFTER_S, interference=turns))


def batches_of(name: str, log: RequestLog) -> ServedBatches:
    """Batches of one replica's log of requests: those that were begun at the same time are one."""
    start_s, first = np.unique(log.start_s, return_index=True)
    done_s = log.done_s[first]
    return ServedBatches(name, log.batch[first], done_s - start_s, idle_before_s(start_s, done_s))


def fit(name: str, stage: ServedStage, logs: Sequence[ServedBatches], fingerprints: Mapping[str, str]) -> Calibration:
    """Fit a calibration of a stage on logs that it served.

    Parameters
    ----------
    name
        Of the profile, or of the server's job.
    stage
        As it is predicted without a calibration.
    logs
        One or more. From one alone no drift can be told.
    fingerprints
        What identifies the logs, by name.

    Raises
    ------
    InputError
        There are too few batches.
    """
    profile_s = [stage.table.mean_s(log.units) for log in logs]
    kept = [_usual(log.took_s, expected_s) for log, expected_s in zip(logs, profile_s)]
    ratio = [log.took_s[keep] / expected_s[keep] for log, keep, expected_s in zip(logs, kept, profile_s)]
    cold = [gone_cold(log.idle_s[keep]) / expected_s[keep] for log, keep, expected_s in zip(logs, kept, profile_s)]
    count, left_out = sum(map(len, ratio)), sum(int((~keep).sum()) for keep in kept)
    if count < _LEAST_BATCHES:
        many = f"{count} batches" + (f", beside {left_out} that took unusually long," if left_out else "")
        raise InputError(name, f"{many} are too few to calibrate on", f"give logs of {_LEAST_BATCHES} or more")
    idle_s = np.concatenate([log.idle_s[keep] for log, keep in zip(logs, kept)])
    factor, cold_s = _factor_and_cold(np.concatenate(ratio), np.concatenate(cold), idle_s)
    left = [own - factor - cold_s * own_cold for own, own_cold in zip(ratio, cold)]
    return Calibration(
        name, factor, cold_s, _drift([float(own.mean()) / factor for own in left]), _correlation(left), count,
        left_out, dict(fingerprints),
    )  # fmt: skip


def factor_of(stage: ServedStage, log: ServedBatches, cold_s: float) -> float:
    """How many times the stage's latency a log's batches took, less what idle time made them take longer."""
    expected_s = stage.table.mean_s(log.units)
    cold = gone_cold(log.idle_s) * cold_s
    keep = _usual(log.took_s, expected_s)
    return float(((log.took_s - cold) / expected_s)[keep].mean())


def _usual(took_s: np.ndarray, expected_s: np.ndarray) -> np.ndarray:
    """Which batches took no more than `_OUTLIER` times the usual over the profile, by the median."""
    ratio = took_s / expected_s
    return np.asarray(ratio < _OUTLIER * np.median(ratio))


def _factor_and_cold(ratio: np.ndarray, cold: np.ndarray, idle_s: np.ndarray) -> tuple[float, float]:
    """Least squares with ``cold_s`` from 0 up; 0 also where nearly all batches met a warm machine, or a cold one."""
    warm = float(np.exp(-idle_s / COLD_AFTER_S).sum())
    if min(warm, len(ratio) - warm) >= _LEAST_TOLD:
        (factor, cold_s), *_ = np.linalg.lstsq(np.column_stack([np.ones_like(ratio), cold]), ratio, rcond=None)
        if factor > 0.0 and cold_s > 0.0:
            return float(factor), float(cold_s)
    return float(ratio.mean()), 0.0


def _drift(factors: Sequence[float]) -> float:
    """Standard deviation of the logs' own factors about the common one."""
    return float(np.std(factors, ddof=1)) if len(factors) > 1 else 0.0


def _correlation(left: Sequence[np.ndarray]) -> float:
    """Of successive residuals, about the mean of their log."""
    centred = [own - own.mean() for own in left]
    return float(sum(own[:-1] @ own[1:] for own in centred) / max(sum(own @ own for own in centred), 1e-300))
