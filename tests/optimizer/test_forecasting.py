"""Forecasters: what they promise for every history, and what they must find in histories whose law is known."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.forecasting.forecast import Forecast, as_history
from optimizer.forecasting.holt_winters import HoltWinters
from optimizer.forecasting.methods import METHODS, Setting, make_forecaster
from optimizer.forecasting.naive import LastValue, SeasonalNaive, periods_of
from optimizer.forecasting.quantile_regression import QuantileRegression
from optimizer.forecasting.refits import refit_length
from optimizer.forecasting.residuals import EmpiricalQuantiles
from workloads.errors import InputError

LEVELS = (0.05, 0.5, 0.95)
PRACTICAL = [name for name in METHODS if name != "oracle"]
HOURLY = Setting(interval_s=3600.0)


def forecast(name: str, history: np.ndarray, horizon: int = 3, setting: Setting = HOURLY) -> Forecast:
    return make_forecaster(name, setting).forecast(history, horizon, LEVELS)


def daily_counts(days: int, seed: int = 0, mean: float = 500.0) -> np.ndarray:
    """``[1, hour]`` Poisson counts whose rate swings by half over the day."""
    hours = np.arange(24 * days)
    rate = mean * (1.0 + 0.5 * np.sin(2.0 * np.pi * hours / 24.0))
    return np.random.default_rng(np.random.SeedSequence(seed)).poisson(rate)[None].astype(float)


histories = st.one_of(
    st.builds(lambda value, n: [value] * n, st.sampled_from([0.0, 1e-9, 7.0, 1e6]), st.integers(1, 80)),
    st.lists(st.integers(0, 20).map(float), min_size=1, max_size=80),
    st.lists(st.floats(0.0, 1e7, allow_subnormal=False), min_size=1, max_size=60),
    st.builds(lambda n, at, high: [high if i == at else 0.0 for i in range(n)],
              st.integers(1, 80), st.integers(0, 79), st.sampled_from([1.0, 1e5])),
)  # fmt: skip


@pytest.mark.parametrize("name", PRACTICAL)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(history=histories, period=st.sampled_from([None, 5, 12]))
def test_any_history_has_a_forecast(name: str, history: list[float], period: int | None) -> None:
    """Finite, not negative, quantiles that do not cross; two services at once, one of them silent."""
    if name == "quantile_regression":
        history = history * (1 + 200 // len(history))
    rows = np.array([history, [0.0] * len(history)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = forecast(name, rows, 7, Setting(3600.0, None if period is None else 3600.0 * period))
    assert made.mean_rps.shape == (2, 7)
    assert made.quantile_rps.shape == (3, 2, 7)
    for values in (made.mean_rps, made.quantile_rps):
        assert np.isfinite(values).all()
        assert (values >= 0.0).all()
    assert (np.diff(made.quantile_rps, axis=0) >= 0.0).all()
    assert (made.mean_rps[1] == 0.0).all()


@pytest.mark.parametrize("name", PRACTICAL)
def test_a_constant_goes_on(name: str) -> None:
    made = forecast(name, np.full((1, 160), 42.0))
    assert made.mean_rps == pytest.approx(42.0)
    assert made.quantile_rps == pytest.approx(42.0)


@pytest.mark.parametrize("name", PRACTICAL)
def test_a_forecast_depends_on_the_history_alone(name: str) -> None:
    """Asked at every instant, or only once: the same answer. Refits and caches must not show."""
    rates = daily_counts(8 if name == "quantile_regression" else 4)[:, 7:]
    setting = Setting(1200.0, 24 * 1200.0)
    asked = make_forecaster(name, setting)
    for length in range(40, rates.shape[1]):
        often = asked.forecast(rates[:, :length], 2, LEVELS)
    once = forecast(name, rates[:, : rates.shape[1] - 1], 2, setting)
    assert (often.quantile_rps == once.quantile_rps).all()
    assert (often.mean_rps == once.mean_rps).all()


@pytest.mark.parametrize("name", ["last_value", "seasonal_naive", "quantile_regression"])
def test_twice_the_rates_have_twice_the_forecast(name: str) -> None:
    rates = daily_counts(8)
    double = forecast(name, 2.0 * rates).quantile_rps
    assert double == pytest.approx(2.0 * forecast(name, rates).quantile_rps, rel=1e-6)


@pytest.mark.parametrize("bad", [np.empty((1, 0)), [[np.nan]], [[-1.0]], [[np.inf]], np.zeros((1, 1, 1))])
def test_a_history_that_is_none_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="history_rps"):
        as_history(bad)


def test_seasonal_naive_takes_the_longest_period_there_is() -> None:
    weekly = np.arange(400.0)[None]
    naive = SeasonalNaive(periods_of(3600.0))
    assert naive.predict(weekly, 2).tolist() == [[232.0, 233.0]]
    assert naive.predict(weekly[:, :167], 2).tolist() == [[143.0, 144.0]]
    assert naive.predict(weekly[:, :23], 2).tolist() == [[22.0, 22.0]]
    assert SeasonalNaive((2,)).predict(np.array([[1.0, 2.0]]), 5).tolist() == [[1.0, 2.0, 1.0, 2.0, 1.0]]
    assert LastValue().predict(weekly, 2).tolist() == [[399.0, 399.0]]


def test_holt_winters_is_that_of_statsmodels() -> None:
    """Bins as wide as intervals, at a length at which constants are fitted: nothing of ours is left in between."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    length = refit_length(70, 0.1)
    rates = daily_counts(3)[0, :length]
    ours = HoltWinters(60.0, (24,)).predict(rates, 5)[0]
    fit = ExponentialSmoothing(
        rates, trend="add", damped_trend=True, seasonal="add", seasonal_periods=24, initialization_method="heuristic"
    ).fit(use_brute=False)
    assert ours == pytest.approx(fit.forecast(5), rel=1e-9)


def test_holt_winters_follows_the_season_through_wider_bins() -> None:
    """A day of 1,440 intervals in bins of ten: six hours ahead within 3 of a rate that meanwhile changes by over 33."""
    minutes = np.arange(4 * 1440 + 700)
    rate = 100.0 * (1.0 + 0.5 * np.sin(2.0 * np.pi * minutes / 1440.0))
    ahead = HoltWinters(60.0, (1440,)).predict(rate[: 4 * 1440 + 300], 360)[0]
    truth = rate[4 * 1440 + 300 : 4 * 1440 + 660]
    assert np.abs(ahead - truth).max() < 3.0
    assert np.abs(rate[4 * 1440 + 299] - truth).max() > 33.0


def test_empirical_quantiles_are_those_of_past_errors() -> None:
    """Counted out: with 20 intervals every past instant is an origin, and rank level * (n + 1) among n errors."""
    history = daily_counts(1)[:, :20]
    made = EmpiricalQuantiles(LastValue(), 3600.0).forecast(history, 2, LEVELS)
    root = np.sqrt(history[0])
    for step in (1, 2):
        errors = np.sort(root[step:] - root[:-step])
        ranks = np.clip(np.array(LEVELS) * (len(errors) + 1) - 1, 0, len(errors) - 1)
        shifts = np.interp(ranks, np.arange(len(errors)), errors)
        assert made.quantile_rps[:, 0, step - 1] == pytest.approx((root[-1] + shifts) ** 2)


@pytest.mark.parametrize("name", ["last_value", "seasonal_naive", "quantile_regression"])
def test_quantiles_cover_what_they_say_where_the_law_is_steady(name: str) -> None:
    """Poisson counts around a constant: 90 % of the next within the 5 % and 95 % quantiles, over many draws."""
    draws, length = (60, 360) if name == "quantile_regression" else (300, 60)
    rates = np.random.default_rng(np.random.SeedSequence(1)).poisson(100.0, (draws, length)).astype(float)
    setting = Setting(1200.0, 12 * 1200.0)
    low, _, high = forecast(name, rates[:, :-1], 1, setting).quantile_rps[:, :, 0]
    held = ((low <= rates[:, -1]) & (rates[:, -1] <= high)).mean()
    assert abs(held - 0.9) < 0.05 + 3.0 * np.sqrt(0.9 * 0.1 / draws)


def test_quantile_regression_finds_lines_that_are_there() -> None:
    """Counts that follow the day: the median within 5 % of the true rate, where the last value is off by a fifth."""
    rates = np.concatenate([daily_counts(30, seed, 5000.0) for seed in range(3)])
    made = QuantileRegression(3600.0, (24,)).forecast(rates[:, :-24], 6, LEVELS)
    hours = np.arange(24 * 29, 24 * 29 + 6)
    truth = 5000.0 * (1.0 + 0.5 * np.sin(2.0 * np.pi * hours / 24.0))
    assert np.abs(made.mean_rps / truth - 1.0).mean() < 0.05
    assert np.abs(rates[:, [-25]] / truth - 1.0).mean() > 0.2


def test_a_quantile_of_zero_is_zero() -> None:
    """Two of three intervals are silent: the lower quartile is nothing, not what the solver's tolerance leaves."""
    rates = np.random.default_rng(np.random.SeedSequence(0)).poisson(0.4, (1, 300)).astype(float)
    assert (QuantileRegression(10.0, ()).forecast(rates, 4, (0.25, 0.95)).quantile_rps[0] == 0.0).all()


def test_an_ensemble_trusts_the_member_that_was_right() -> None:
    """A series that repeats each day exactly: seasonal naive has no error, so the last value gets no weight."""
    rates = np.tile(np.arange(24.0) ** 2, 12)[None]
    made = forecast("ensemble", rates, 6)
    assert made.mean_rps[0] == pytest.approx(np.arange(6.0) ** 2, abs=6.0)
    assert abs(made.mean_rps[0, 0] - 23.0**2) > 500.0
    weights = make_forecaster("ensemble", HOURLY).weights(rates, 6)  # type: ignore[attr-defined]
    assert weights.sum(axis=0) == pytest.approx(1.0)
    assert (weights[0] < 0.01).all()
    assert (weights[1] > 0.3).all()


def test_the_median_ensemble_is_the_member_in_the_middle() -> None:
    rates = daily_counts(5)
    members = [forecast(name, rates) for name in ("last_value", "seasonal_naive", "holt_winters")]
    middle = np.median([member.quantile_rps for member in members], axis=0)
    assert (forecast("ensemble_median", rates).quantile_rps == middle).all()


def test_the_oracle_reads_on_and_stops_at_the_end() -> None:
    truth = np.array([[1.0, 2.0, 3.0, 4.0]])
    made = make_forecaster("oracle", HOURLY, truth).forecast(truth[:, :2], 3, LEVELS)
    assert made.quantile_rps[:, 0].tolist() == [[3.0, 4.0, 4.0]] * 3


def test_unknown_names_and_oracles_without_a_truth_are_told() -> None:
    with pytest.raises(InputError, match="did you mean 'holt_winters'"):
        make_forecaster("holt_winter", HOURLY)
    with pytest.raises(InputError, match="clairvoyant_mip"):
        make_forecaster("oracle", HOURLY)


def test_refits_are_few() -> None:
    lengths = {refit_length(n, 0.1) for n in range(1, 10_001)}
    assert len(lengths) < 90
    assert all(refit_length(n, 0.1) <= n < 1.11 * refit_length(n, 0.1) + 1 for n in range(1, 10_001))
