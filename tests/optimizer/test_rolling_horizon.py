"""The rolling horizon carries out the later steps of a plan too, though demand stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.registry import make_policy
from simulator.cluster import RESOURCES
from simulator.policy import FleetFacts, Policy
from tests.optimizer.factory import context, facts, observation

BARE = {"headroom": 0.0, "pooling": False, "feedback": False}


def two_pairs(served_rps: list[float], price: list[float], start_s: list[float], **changes: Any) -> FleetFacts:
    """One stage that runs on two node types, a replica a node."""
    served = np.array([served_rps])
    need = np.ones((1, 2, len(RESOURCES)))
    values: dict[str, Any] = {
        "services": ("shop",), "stages": ("shop/rank",), "variants": ("shop/rank/base",), "node_types": ("a", "b"),
        "stage_service": np.array([0]), "variant_stage": np.array([0]), "throughput_rps": served,
        "best_throughput_rps": served, "need": need, "capacity": need[0], "node_count": np.array([20, 20]),
        "price_usd_per_hour": np.array(price), "start_delay_s": np.array([start_s]), "boot_s": np.zeros(2),
        "slo_s": np.array([0.1]), "slo_quantile": np.array([0.99]),
    }  # fmt: skip
    return facts(**values | changes)


def run(fleet: FleetFacts, policy: Policy, rates: np.ndarray) -> tuple[list[list[int]], list[str]]:
    """``[slot][node type]`` replicas wanted, and the notes; what is asked for is ready when the fleet says."""
    delay = np.maximum(1, np.ceil(fleet.start_delay_s[0] / 60.0)).astype(int)
    ready = np.zeros((1, 2), dtype=np.int64)
    due: list[tuple[int, int]] = []
    wanted, notes = [], []
    for slot in range(rates.shape[1]):
        arrived = [n for at, n in due if at <= slot]
        due = [(at, n) for at, n in due if at > slot]
        ready = ready + np.bincount(arrived, minlength=2)[None]
        starting = np.bincount([n for _, n in due], minlength=2)[None]
        answer = policy.decide(observation(fleet, slot, rates, ready=ready, starting=starting))
        wanted.append(answer.replicas[0].tolist())
        notes.append(answer.note)
        for n in (0, 1):
            missing = int(answer.replicas[0, n] - ready[0, n] - starting[0, n])
            due += [((slot + int(delay[n])) if slot else 1, n)] * max(0, missing)
        ready = np.minimum(ready, answer.replicas)
    return wanted, notes


def test_what_was_kept_until_others_are_ready_goes_then() -> None:
    """At 80 requests/s one large node is cheaper than eight small ones, and two of these stand."""
    fleet = two_pairs([10.0, 100.0], [1.0, 5.0], [60.0, 120.0])
    rates = np.array([[20.0] * 6 + [80.0] * 12])
    policy = make_policy({"name": "rolling_horizon", "trend": False, **BARE}, context(fleet, rates))
    wanted, notes = run(fleet, policy, rates)
    assert wanted[5] == [2, 0]
    assert wanted[7][0] >= 2
    assert wanted[7][1] == 1
    assert wanted[-1] == [0, 1]
    assert any("what was started is ready" in note for note in notes)


def test_a_start_that_was_put_off_is_made_in_time() -> None:
    """Three slots of a quick and dear node cost less than five of the usual one, which must be asked for earlier."""
    fleet = two_pairs([10.0, 10.0], [1.0, 1.2], [180.0, 60.0])
    rates = np.array([[10.0] * 9 + [15.0] + [10.0] * 8])
    policy = make_policy({"name": "clairvoyant_horizon", **BARE}, context(fleet, rates))
    wanted, notes = run(fleet, policy, rates)
    assert wanted[6] == [1, 0]
    assert "left for a later start" in notes[6]
    assert wanted[8] == [1, 1]
