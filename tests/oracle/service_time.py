"""The latency of a batch, by step 8 of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .draws import mix, uniform
from .model import OracleInterference, OracleVariant

__all__ = ["batch_latency_s", "cold_start_s", "mix", "quantile", "slowdown", "uniform"]


def quantile(levels: tuple[float, ...], values: tuple[float, ...], u: float) -> float:
    """The measured quantile at level `u`: linear between levels, the outermost value beyond them."""
    return between(levels, values, u)


def between(points: Sequence[float], values: Sequence[float], x: float) -> float:
    """Piecewise linear through `values[i]` at `points[i]`, constant beyond the outermost."""
    if x <= points[0]:
        return values[0]
    for i in range(1, len(points)):
        if x <= points[i]:
            share = (x - points[i - 1]) / (points[i] - points[i - 1])
            return values[i - 1] + (values[i] - values[i - 1]) * share
    return values[-1]


def batch_latency_s(variant: OracleVariant, units: int, speed: float, u: float | None) -> float:
    """Latency in seconds of a batch of `units`; `u` is its uniform number, or None where noise is off."""

    def at(size_index: int) -> float:
        if u is None:
            return variant.mean_s[size_index]
        return quantile(variant.levels, variant.latency_s[size_index], u)

    sizes = variant.batch_sizes
    if units <= sizes[0]:
        return at(0) / speed
    if len(sizes) == 1:
        return at(0) * units / sizes[0] / speed
    upper = next((i for i, size in enumerate(sizes) if size >= units), len(sizes) - 1)
    lower = upper - 1
    share = (units - sizes[lower]) / (sizes[upper] - sizes[lower])
    latency_s = at(lower) + (at(upper) - at(lower)) * share
    if units > sizes[-1] and at(upper) < at(lower):
        latency_s = at(upper)
    return latency_s / speed


def cold_start_s(variant: OracleVariant, idle_s: float, speed: float) -> float:
    """How much longer a batch takes that begins so long after the one before has ended."""
    return variant.cold_s / speed * (1.0 - math.exp(-idle_s / variant.cold_after_s))


def slowdown(interference: OracleInterference | None, running: int, units: int) -> float:
    """By how much a batch of `units` is slowed where `running` replicas of its device run one, its own included."""
    if interference is None or running <= 1:
        return 1.0
    counts = interference.replicas
    measured = [between(interference.batch_sizes, row, units) for row in interference.slowdown]
    if running > counts[-1]:
        return measured[-1] * running / counts[-1]
    if counts[0] > 1:
        counts, measured = (1, *counts), [1.0, *measured]
    return between(counts, measured, running)
