"""What planning policies do between plans: forecast, handover, correction by latency."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.feedback import LatencyFeedback
from optimizer.forecasting.peak import peak_and_trend
from optimizer.handover import hold_until_ready
from optimizer.registry import make_policy, validate_spec
from tests.optimizer.factory import context, facts, observation
from workloads.errors import InputError


def replicas(**counts: int) -> np.ndarray:
    """``[variant, node_type]`` of the factory's fleet; ``v0n1=3`` is three of variant 0 on node type 1."""
    found = np.zeros((4, 2), dtype=np.int64)
    for key, count in counts.items():
        found[int(key[1]), int(key[3])] = count
    return found


def test_trend_continues_a_line_and_never_undercuts_the_peak() -> None:
    line = np.array([[100.0, 110.0, 120.0, 130.0], [130.0, 120.0, 110.0, 100.0]])
    assert peak_and_trend(line, 4, 2.5, 3).tolist() == pytest.approx([155.0, 130.0])
    assert peak_and_trend(line, 1, np.array([1.0, 1.0]), 0).tolist() == [130.0, 100.0]
    assert peak_and_trend(line[:, :2], 4, 9.0, 3).tolist() == [110.0, 130.0]


def test_handover_keeps_the_old_until_the_new_is_ready() -> None:
    """Retrieve moves from three CPU replicas (50 requests/s each) to one GPU replica; 120 requests/s are required."""
    fleet, required = facts(), np.array([120.0, 0.0, 0.0])
    wanted = replicas(v0n0=1)
    before = hold_until_ready(fleet, wanted, required, ready=replicas(v0n1=4))
    assert (before == replicas(v0n0=1, v0n1=3)).all()
    after = hold_until_ready(fleet, wanted, required, ready=replicas(v0n0=1, v0n1=4))
    assert (after == wanted).all()


def test_handover_leaves_plans_alone_that_remove_nothing() -> None:
    wanted = replicas(v0n0=3, v1n0=2)
    held = hold_until_ready(facts(), wanted, np.full(3, 1e6), ready=replicas(v0n0=1))
    assert (held == wanted).all()


def test_a_policy_that_moves_a_stage_never_leaves_it_bare() -> None:
    """Whatever the plan, ready replicas of a stage are given up only for ready ones."""
    fleet = facts()
    rates = np.full((2, 4), 200.0)
    policy = make_policy("mip", context(fleet, rates))
    elsewhere = replicas(v0n1=5, v1n0=1, v3n1=9)
    answer = policy.decide(observation(fleet, 1, rates, ready=elsewhere)).replicas
    stays = np.bincount(fleet.variant_stage, (fleet.throughput_rps * np.minimum(answer, elsewhere)).sum(axis=1), 3)
    assert (stays >= 200.0).all()


def slow(fleet: object, **changes: object) -> object:
    """An interval in which both services miss their objective of 0.1 s at the 99th percentile."""
    values: dict[str, object] = {
        "p99_s": np.array([0.2, 0.2]),
        "completed": np.array([1000, 1000]),
        "ready": replicas(v0n0=2, v1n0=2, v2n0=2),
    }
    return observation(fleet, 1, np.full((2, 2), 300.0), **(values | changes))  # type: ignore[arg-type]


def test_feedback_raises_demand_where_replicas_should_have_sufficed() -> None:
    fleet = facts()
    feedback = LatencyFeedback(fleet)
    assert feedback.learn(slow(fleet)).tolist() == pytest.approx([1.05, 1.05])  # type: ignore[arg-type]
    fast = slow(fleet, p99_s=np.array([0.2, 0.05]))
    assert feedback.learn(fast).tolist() == pytest.approx([1.1025, 1.04475])  # type: ignore[arg-type]
    for _ in range(50):
        feedback.learn(slow(fleet))  # type: ignore[arg-type]
    assert feedback.factor.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "excuse",
    [
        {"ready": replicas(v0n0=2, v2n0=1)},
        {"starting": replicas(v1n0=1, v2n0=1)},
        {"completed": np.array([50, 50])},
        {"p99_s": np.array([np.nan, np.nan])},
    ],
)
def test_feedback_learns_nothing_from_a_lack_of_replicas_or_of_requests(excuse: dict[str, object]) -> None:
    fleet = facts()
    factor = LatencyFeedback(fleet).learn(slow(fleet, **excuse))  # type: ignore[arg-type]
    assert factor[0] == 1.0
    assert factor[1] == 1.0 or "ready" in excuse


# --- forecasts by name ----------------------------------------------------------------------------------


def expected(history_rps: np.ndarray, **options: object) -> np.ndarray:
    """``[stage]`` of a policy over hourly intervals, from ``history_rps[service, interval]``."""
    fleet = facts(control_interval_s=3600.0)
    policy = make_policy({"name": "marginal_greedy", **options}, context(fleet, history_rps))
    seen = observation(fleet, history_rps.shape[1], history_rps)
    found: np.ndarray = policy.expected_rps(seen)  # type: ignore[attr-defined]
    return found


def test_the_default_forecast_is_peak_and_trend() -> None:
    rates = np.array([[100.0, 110.0, 120.0], [30.0, 20.0, 10.0]])
    named, plain = expected(rates, forecast="peak_and_trend"), expected(rates)
    assert (named == plain).all()
    assert plain[0] > 120.0
    assert plain[2] == 30.0


def test_a_seasonal_forecast_prepares_for_the_peak_that_comes_each_day() -> None:
    """At 7 h, for the peak of 8 h, which is within the two intervals that a replica takes."""
    day = np.full(24, 50.0)
    day[8] = 400.0
    rates = np.tile(np.concatenate([day, day, day])[: 48 + 8], (2, 1))
    assert expected(rates, forecast="seasonal_naive") == pytest.approx(400.0)
    assert expected(rates, forecast="last_value") == pytest.approx(50.0)
    assert expected(rates, forecast="seasonal_naive", forecast_period_s=4 * 3600.0) == pytest.approx(50.0)


def test_a_higher_level_prepares_for_more() -> None:
    rates = np.random.default_rng(np.random.SeedSequence(0)).poisson(100.0, (2, 80)).astype(float)
    half, high = (expected(rates, forecast="last_value", forecast_level=level) for level in (0.5, 0.95))
    assert (high > half + 10.0).all()


@pytest.mark.parametrize("name", ["holt_winters", "quantile_regression", "ensemble", "ensemble_median"])
def test_policies_plan_with_every_method(name: str) -> None:
    rates = np.random.default_rng(np.random.SeedSequence(0)).poisson(100.0, (2, 200)).astype(float)
    found = expected(rates, forecast=name)
    assert found == pytest.approx(100.0, abs=25.0)
    assert found[0] == found[1], "stages of one service meet the same rates"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"forecast": "seasonal"}, "did you mean 'seasonal_naive'"),
        ({"forecast": "oracle"}, "no method 'oracle' for policies"),
        ({"forecast": 3}, "no method 3 for policies"),
        ({"forecast_level": 1.0}, "1 is no quantile"),
        ({"forecast_level": 0.0}, "0.0 is not a number above 0"),
        ({"forecast_period_s": -1.0}, "-1.0 is not a number above 0"),
    ],
)
def test_a_forecast_that_cannot_be_is_told(options: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        validate_spec({"name": "mip", **options})


def test_the_clairvoyant_needs_no_forecast() -> None:
    with pytest.raises(InputError, match="knows the demand"):
        validate_spec({"name": "clairvoyant_mip", "forecast": "holt_winters"})
