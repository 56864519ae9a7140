"""The backtest: scores against their definitions, and no forecaster sees what comes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.forecasting import backtest as module
from optimizer.forecasting.backtest import BacktestPlan, backtest, origins_of
from optimizer.forecasting.forecast import Forecast, make_forecast
from optimizer.forecasting.methods import METHODS, Setting
from optimizer.forecasting.scores import central_pair, pinball_loss
from workloads.errors import InputError

SETTING = Setting(3600.0)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.sampled_from([0.1, 0.5, 0.9]))
def test_pinball_loss_is_least_at_the_quantile(values: list[int], level: float) -> None:
    """No whole number does better than the sample's quantile."""
    sample = np.array(values, dtype=float)
    best = pinball_loss(sample, np.quantile(sample, level, method="inverted_cdf"), level).mean()
    others = [pinball_loss(sample, float(q), level).mean() for q in range(31)]
    assert best <= min(others) + 1e-12
    assert best >= 0.0


def test_pinball_loss_at_the_median_is_half_the_absolute_error() -> None:
    assert pinball_loss(np.array([3.0, 9.0]), np.array([5.0, 5.0]), 0.5).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("levels", "pair"), [((0.1, 0.5, 0.9), (0, 2)), ((0.05, 0.1, 0.9, 0.99), (1, 2)), ((0.5, 0.9), None)]
)
def test_the_central_pair_is_the_widest_there_is(levels: tuple[float, ...], pair: tuple[int, int] | None) -> None:
    assert central_pair(levels) == pair


class Flat:
    """Says 10 and 20 whatever came; notes how much of the history it saw."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def forecast(self, history_rps: np.ndarray, horizon: int, levels: Sequence[float]) -> Forecast:
        self.seen.append(history_rps.shape[1])
        shape = (history_rps.shape[0], horizon)
        return make_forecast(np.full(shape, 15.0), levels, np.stack([np.full(shape, 10.0), np.full(shape, 20.0)]))


def test_scores_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two services, two origins, one step: actual 5 and 15, then 20 and 40, against 10 at 0.1 and 20 at 0.9."""
    flat = Flat()
    monkeypatch.setattr(module, "make_forecaster", lambda *_: flat)
    rates = np.array([[0.0, 5.0, 20.0], [0.0, 15.0, 40.0]])
    score = backtest(rates, "flat", SETTING, BacktestPlan(1, (0.1, 0.9), 10, 0.0))
    assert flat.seen == [1, 2], "nothing of what is to be forecast is shown"
    assert score.mean_rate_rps == pytest.approx((20.0 + 60.0) / 2)
    # At 0.1: 0.9 * 5 below 10, and 0.1 of 5, 10 and 30 above it. At 0.9: 0.1 of 15, 5 and 0 below 20, 0.9 of 20 above.
    assert score.pinball_rps == pytest.approx([(4.5 + 0.5 + 1.0 + 3.0) / 2, (1.5 + 0.5 + 0.0 + 18.0) / 2])
    assert score.pinball_by_step_rps == pytest.approx([score.mean_pinball_rps])
    assert score.below == pytest.approx([0.25, 0.75])
    assert (score.coverage, score.nominal) == (0.5, 0.8)
    assert score.mae_rps == pytest.approx((10.0 + 0.0 + 5.0 + 25.0) / 2)
    assert score.bias_rps == pytest.approx((10.0 + 0.0 - 5.0 - 25.0) / 2)
    assert score.relative_pinball == pytest.approx(score.mean_pinball_rps / 40.0)


def test_origins_are_spread_from_the_warm_up_to_the_last_whole_horizon() -> None:
    assert origins_of(100, BacktestPlan(10, origins=4, warm_up=0.3)).tolist() == [30, 50, 70, 90]
    assert origins_of(12, BacktestPlan(10, origins=9, warm_up=0.0)).tolist() == [1, 2]
    with pytest.raises(InputError, match="12 intervals are too few"):
        origins_of(12, BacktestPlan(10, warm_up=0.5))


def test_the_oracle_has_no_loss_and_the_last_value_some() -> None:
    rates = np.random.default_rng(np.random.SeedSequence(0)).poisson(50.0, (2, 60)).astype(float)
    plan = BacktestPlan(3, (0.1, 0.5, 0.9), 20)
    oracle, last = (backtest(rates, name, SETTING, plan) for name in ("oracle", "last_value"))
    assert (oracle.pinball_rps == 0.0).all()
    assert (oracle.mae_rps, oracle.bias_rps, oracle.coverage) == (0.0, 0.0, 1.0)
    assert (last.pinball_rps > 1.0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_backtest_says_the_same_twice(method: str) -> None:
    rates = np.random.default_rng(np.random.SeedSequence(0)).poisson(50.0, (1, 150)).astype(float)
    plan = BacktestPlan(2, (0.1, 0.9), 5)
    one, two = (backtest(rates, method, SETTING, plan) for _ in range(2))
    assert one.pinball_rps.tolist() == two.pinball_rps.tolist()
    assert (one.coverage, one.mae_rps, one.bias_rps) == (two.coverage, two.mae_rps, two.bias_rps)


def test_a_silent_trace_has_no_relative_loss() -> None:
    score = backtest(np.zeros((1, 30)), "last_value", SETTING, BacktestPlan(2, (0.1, 0.9), 5))
    assert np.isnan(score.relative_pinball)
    assert score.coverage == 1.0
