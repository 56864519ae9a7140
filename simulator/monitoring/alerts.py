"""Alerts by threshold: a rule on a series, and when it fired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.monitoring.series import Series, all_series

if TYPE_CHECKING:
    from simulator.result import RunResult

__all__ = ["Alert", "AlertRule", "alerts_of", "fired"]


@dataclass(frozen=True)
class AlertRule:
    """A threshold on a series; ``above`` or ``below``, the other NaN.

    Attributes
    ----------
    series, label
        Name of the series; an empty label watches each of its labels on its own.
    for_s
        The condition must have held for so long, in whole control intervals; 0: one interval suffices.
    """

    name: str
    series: str
    label: str = ""
    above: float = float("nan")
    below: float = float("nan")
    for_s: float = 0.0

    def breaches(self, values: np.ndarray) -> np.ndarray:
        """``bool[...]`` where the condition holds; unknown values (NaN) breach nothing."""
        return (values > self.above) | (values < self.below)


@dataclass(frozen=True)
class Alert:
    """One time that a rule fired.

    Attributes
    ----------
    began_s, fired_s, ended_s
        The condition held from, the alert was raised, and it was over; infinite if it still held at the end of the run.
        All are ends of control intervals but ``began_s``, which is a start: an interval is known when it is over.
    worst
        The most extreme value of the series while the condition held.
    """

    rule: str
    series: str
    label: str
    began_s: float
    fired_s: float
    ended_s: float
    worst: float


def alerts_of(result: RunResult, rules: Sequence[AlertRule]) -> tuple[Alert, ...]:
    """Every alert of a run, in order of the time it fired, then of the rules."""
    known = {series.name: series for series in all_series(result)}
    start_s, length_s = result.intervals.start_s, result.intervals.length_s
    found = [
        alert
        for rule in rules
        if rule.series in known
        for alert in fired(rule, known[rule.series], start_s, start_s + length_s)
    ]
    return tuple(sorted(found, key=lambda alert: alert.fired_s))


def fired(rule: AlertRule, series: Series, start_s: np.ndarray, end_s: np.ndarray) -> Iterator[Alert]:
    """Alerts of one rule on one series whose intervals run from ``start_s[interval]`` to ``end_s[interval]``."""
    for column, label in enumerate(series.labels):
        if rule.label and label != rule.label:
            continue
        values = series.values[:, column]
        for first, last in _stretches(rule.breaches(values)):
            ripe = np.flatnonzero(end_s[first : last + 1] - start_s[first] >= rule.for_s - 1e-9)
            if not len(ripe):
                continue
            held = values[first : last + 1]
            worst = held.max() if not np.isnan(rule.above) else held.min()
            yield Alert(
                rule=rule.name,
                series=rule.series,
                label=label,
                began_s=float(start_s[first]),
                fired_s=float(end_s[first + ripe[0]]),
                ended_s=float(end_s[last + 1]) if last + 1 < len(end_s) else float("inf"),
                worst=float(worst),
            )


def _stretches(holds: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2])]
