"""Rolling-origin backtest: forecast a past from many of its instants, each time with what was known then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from optimizer.forecasting.forecast import Forecast, Forecaster, as_history
from optimizer.forecasting.methods import Setting, make_forecaster
from optimizer.forecasting.scores import central_pair, pinball_loss
from workloads.errors import InputError

__all__ = ["BacktestPlan", "MethodScore", "backtest", "origins_of"]


@dataclass(frozen=True)
class BacktestPlan:
    """What to forecast, and from where.

    Attributes
    ----------
    horizon
        Intervals ahead.
    levels
        Quantile levels, rising.
    origins
        Instants to forecast from at most, spread evenly from the end of the warm-up to the last whole horizon.
    warm_up
        Share of the past that is history only.
    """

    horizon: int = 10
    levels: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    origins: int = 100
    warm_up: float = 1.0 / 3.0


@dataclass(frozen=True, eq=False)
class MethodScore:
    """How one method did: means over origins, steps and services, services weighed by nothing but their rates.

    Attributes
    ----------
    mean_rate_rps
        Of what was forecast, summed over services.
    pinball_rps
        ``pinball_rps[level]``, summed over services.
    pinball_by_step_rps
        ``pinball_by_step_rps[step]``, mean over levels.
    pinball_by_origin_rps
        ``pinball_by_origin_rps[origin]``, mean over levels and steps: what to compare two methods by, origin by origin.
    below
        ``below[level]`` share of actual rates at or below the quantile; calibrated is the level itself (more, where
        rates are often exactly the quantile, as at zero).
    coverage, nominal
        Share of actual rates within the widest central interval, ends included, and what it should be; NaN where the
        levels have no such pair.
    mae_rps, bias_rps
        Mean of ``|point - actual|`` and of ``point - actual``, summed over services.
    seconds_per_forecast
        Mean time of one call, all services; the only figure that differs from run to run.
    """

    method: str
    origins: int
    mean_rate_rps: float
    levels: tuple[float, ...]
    pinball_rps: np.ndarray
    pinball_by_step_rps: np.ndarray
    pinball_by_origin_rps: np.ndarray
    below: np.ndarray
    coverage: float
    nominal: float
    mae_rps: float
    bias_rps: float
    seconds_per_forecast: float = field(compare=False)

    @property
    def mean_pinball_rps(self) -> float:
        """Mean over levels."""
        return float(self.pinball_rps.mean())

    @property
    def relative_pinball(self) -> float:
        """Mean pinball loss over the mean rate; NaN where nothing came."""
        return self.mean_pinball_rps / self.mean_rate_rps if self.mean_rate_rps > 0.0 else float("nan")


def origins_of(intervals: int, plan: BacktestPlan) -> np.ndarray:
    """Lengths of history that are forecast from, rising.

    Raises
    ------
    InputError
        The past is shorter than the warm-up and one horizon.
    """
    first = max(1, int(np.ceil(plan.warm_up * intervals)))
    last = intervals - plan.horizon
    if last < first:
        raise InputError(
            "the trace",
            f"its {intervals} intervals are too few for a warm-up of {first} and a horizon of {plan.horizon}",
            "give a shorter interval, horizon or warm-up",
        )
    count = min(plan.origins, last - first + 1)
    return np.unique(np.linspace(first, last, count).round().astype(np.int64))


def backtest(
    rate_rps: np.ndarray,
    method: str,
    setting: Setting,
    plan: BacktestPlan,
    advance: Callable[[int], None] | None = None,
    forecaster: Forecaster | None = None,
) -> MethodScore:
    """Score one method on ``rate_rps[service, interval]``.

    Every origin has the same weight; the forecaster sees them in order and nothing after each.

    Parameters
    ----------
    advance
        Called with 1 after each origin.
    forecaster
        A fresh one to score under the name ``method``, in place of the one so called.

    Raises
    ------
    InputError
        Unknown method, or too short a past.
    """
    rates = as_history(rate_rps)
    origins = origins_of(rates.shape[1], plan)
    if forecaster is None:
        forecaster = make_forecaster(method, setting, rates)
    made, seconds = [], 0.0
    for origin in origins:
        began = time.perf_counter()
        made.append(_checked(forecaster, rates[:, :origin], plan, method))
        seconds += time.perf_counter() - began
        if advance is not None:
            advance(1)
    return _score(method, rates, origins, made, plan, seconds / len(origins))


def _checked(forecaster: Forecaster, history: np.ndarray, plan: BacktestPlan, method: str) -> Forecast:
    found = forecaster.forecast(history, plan.horizon, plan.levels)
    shape = (len(plan.levels), len(history), plan.horizon)
    if found.quantile_rps.shape != shape or not np.isfinite(found.quantile_rps).all():
        raise RuntimeError(f"{method} made no finite forecast of shape {shape}")
    return found


def _score(
    method: str, rates: np.ndarray, origins: np.ndarray, made: list[Forecast], plan: BacktestPlan, seconds: float
) -> MethodScore:
    ahead = origins[:, None] + np.arange(plan.horizon)
    actual = np.moveaxis(rates[:, ahead], 0, 1)
    mean = np.stack([one.mean_rps for one in made])
    quantile = np.stack([one.quantile_rps for one in made], axis=1)
    loss = pinball_loss(actual, quantile, np.array(plan.levels)[:, None, None, None]).sum(axis=2)
    pair = central_pair(plan.levels)
    coverage = nominal = float("nan")
    if pair is not None:
        low, high = pair
        coverage = float(((quantile[low] <= actual) & (actual <= quantile[high])).mean())
        nominal = round(plan.levels[high] - plan.levels[low], 12)
    return MethodScore(
        method=method,
        origins=len(origins),
        mean_rate_rps=float(actual.sum(axis=1).mean()),
        levels=plan.levels,
        pinball_rps=loss.mean(axis=(1, 2)),
        pinball_by_step_rps=loss.mean(axis=(0, 1)),
        pinball_by_origin_rps=loss.mean(axis=(0, 2)),
        below=(actual <= quantile).mean(axis=(1, 2, 3)),
        coverage=coverage,
        nominal=nominal,
        mae_rps=float(np.abs(mean - actual).sum(axis=1).mean()),
        bias_rps=float((mean - actual).sum(axis=1).mean()),
        seconds_per_forecast=seconds,
    )
