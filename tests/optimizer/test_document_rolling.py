"""The rolling horizon: with the truth as forecast it is the whole problem; ramps see peaks coming; starts are warm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from optimizer.document.rolling import MeanForecast, RollingDocumentLp, looking_ahead, roll
from optimizer.document_lp import least_allocation
from optimizer.forecasting.forecast import Forecast
from optimizer.forecasting.naive import LastValue, SeasonalNaive
from workloads.errors import InputError


def truth(demand: np.ndarray, steps: int) -> MeanForecast:
    """The oracle: the demand itself, its last value beyond the end."""
    longer = np.concatenate([demand, np.repeat(demand[:, -1:], steps, axis=1)], axis=1)
    return lambda history: longer[:, history.shape[1] : history.shape[1] + steps]


@pytest.mark.parametrize("objective", ["linear", "quadratic"])
def test_the_truth_gives_the_optimum_of_the_whole(objective: str) -> None:
    demand = np.random.default_rng(1).uniform(100.0, 900.0, (2, 30))
    demand[:, 0] = 500.0
    plans = RollingDocumentLp(truth(demand, 12), 1000.0, objective=objective, ramp_down=40.0, ramp_up=90.0)
    done = roll(plans, demand)
    np.testing.assert_allclose(done.allocation, least_allocation(demand[:, 1:], 40.0, None, 90.0), atol=1e-3)
    assert done.shortfall.max() < 1e-6
    assert (np.diff(done.allocation) <= 90.0 + 1e-9).all()
    assert (np.diff(done.allocation) >= -40.0 - 1e-9).all()


def test_the_last_value_is_one_slot_late_and_never_falls() -> None:
    demand = np.array([3.0, 5.0, 4.0, 9.0, 1.0, 2.0])
    done = roll(RollingDocumentLp(looking_ahead(LastValue(), 3), 8.0), demand)
    assert done.allocation[0].tolist() == [3.0, 5.0, 5.0, 8.0, 8.0]
    assert done.shortfall[0].tolist() == [2.0, 0.0, 4.0, 0.0, 0.0]
    assert done.waste[0].tolist() == [0.0, 1.0, 0.0, 7.0, 6.0]


def test_a_longer_sight_serves_a_peak_that_a_ramp_makes_late() -> None:
    demand = np.array([[1.0, 1.0, 1.0, 1.0, 9.0, 1.0]])
    short = [
        roll(RollingDocumentLp(truth(demand, steps), 10.0, ramp_up=2.0, initial=1.0), demand).shortfall.sum()
        for steps in (1, 2, 3, 4)
    ]
    assert short == pytest.approx([6.0, 4.0, 2.0, 0.0], abs=1e-6)


def test_a_warm_start_changes_nothing_but_the_work() -> None:
    wave = 500.0 + 300.0 * np.sin(np.arange(72) * 2.0 * np.pi / 24.0)
    demand = np.maximum(wave + np.random.default_rng(2).normal(0.0, 20.0, 72), 0.0)[None]
    warm, cold = (
        roll(
            RollingDocumentLp(looking_ahead(SeasonalNaive([24]), 24), 900.0, ramp_down=25.0, ramp_up=60.0, warm=w),
            demand,
        )
        for w in (True, False)
    )
    np.testing.assert_allclose(warm.allocation, cold.allocation, atol=1e-3)
    assert warm.iterations[1:].sum() < 0.5 * cold.iterations[1:].sum()


def test_prices_of_slots_decide_what_is_left_short() -> None:
    """In the dear slot waste is not worth a shortfall's penalty, in the cheap one it is."""
    demand = np.array([[1.0, 9.0, 1.0]])
    dear, cheap = (
        RollingDocumentLp(truth(demand, 2), 10.0, penalty=3.0, price=lambda slot, p=p: p if slot == 2 else 1.0)
        for p in (5.0, 2.0)
    )
    assert dear.step(demand[:, :1]).tolist() == [1.0]
    assert cheap.step(demand[:, :1]).tolist() == [9.0]


@pytest.mark.parametrize(
    "mean", [np.ones(3), np.ones((2, 3)), np.ones((1, 0)), np.array([[np.nan]]), np.array([[np.inf]])]
)
def test_a_wrong_forecast_is_refused(mean: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"^forecast: it gave shape"):
        RollingDocumentLp(lambda seen: mean, 10.0).step(np.ones((1, 1)))


def test_a_horizon_that_changes_is_refused() -> None:
    plans = RollingDocumentLp(lambda seen: np.ones((1, seen.shape[1])), 10.0)
    with pytest.raises(InputError, match="keep to one number of steps"):
        roll(plans, np.ones((1, 4)))


def test_a_quantile_of_a_forecaster_is_planned_for() -> None:
    class Wide:
        def forecast(self, history_rps: np.ndarray, horizon: int, levels: Sequence[float]) -> Forecast:
            mean = np.repeat(history_rps[:, -1:], horizon, axis=1)
            return Forecast(mean, np.array(levels), np.stack([mean * (1.0 + p) for p in levels] or [mean]))

    seen = np.array([[4.0]])
    assert RollingDocumentLp(looking_ahead(Wide(), 2), 10.0).step(seen).tolist() == [4.0]
    assert RollingDocumentLp(looking_ahead(Wide(), 2, level=0.5), 10.0).step(seen).tolist() == [6.0]
    with pytest.raises(InputError, match="knows no quantiles"):
        looking_ahead(LastValue(), 2, level=0.5)(seen)
