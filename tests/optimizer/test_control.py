"""What planning policies do between plans: forecast, handover, correction by latency."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.feedback import LatencyFeedback
from optimizer.forecast import peak_and_trend
from optimizer.handover import hold_until_ready
from optimizer.registry import make_policy
from tests.optimizer.factory import context, facts, observation


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
