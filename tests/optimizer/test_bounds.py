"""The fluid bound: worked values, duals, and never above what a feasible fleet pays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.bounds import fluid_bound_usd, gap
from optimizer.fleet.mip import solve_fleet_mip
from optimizer.fleet.problem import FleetProblem
from tests.optimizer.factory import facts


def one_stage() -> object:
    """One stage, one variant of one GPU on nodes of four: 100 requests/s at best, 4 USD an hour a node."""
    need = np.zeros((1, 1, 6))
    need[0, 0, 0] = 1.0
    return facts(
        services=("s",),
        stages=("s/rank",),
        variants=("s/rank/base",),
        node_types=("gpu",),
        stage_service=np.array([0]),
        variant_stage=np.array([0]),
        throughput_rps=np.array([[80.0]]),
        best_throughput_rps=np.array([[100.0]]),
        need=need,
        capacity=np.array([[4.0, 1, 1, 1, 1, 1]]),
        node_count=np.array([2]),
        price_usd_per_hour=np.array([4.0]),
        start_delay_s=np.array([[30.0]]),
        boot_s=np.array([60.0]),
        slo_s=np.array([0.1]),
        slo_quantile=np.array([0.99]),
    )


def test_worked_value_and_duals() -> None:
    """360,000 requests in an hour are one replica-hour, a quarter of a node-hour: 1 USD."""
    bound = fluid_bound_usd(one_stage(), np.array([360_000.0]), 3600.0)  # type: ignore[arg-type]
    assert bound.status == "optimal"
    assert bound.usd == pytest.approx(1.0)
    assert bound.replica_hours[0, 0] == pytest.approx(1.0)
    assert bound.node_hours[0] == pytest.approx(0.25)
    assert bound.stage_usd_per_million[0] == pytest.approx(1.0 / 0.36)
    assert bound.resource_usd_per_node_hour[0].tolist() == pytest.approx([4.0, 0, 0, 0, 0, 0])
    assert bound.node_usd_per_hour.tolist() == [0.0]


def test_more_than_the_cluster_could_serve_is_infeasible() -> None:
    bound = fluid_bound_usd(one_stage(), np.array([8 * 360_000.0 * 1.01]), 3600.0)  # type: ignore[arg-type]
    assert bound.status == "infeasible"
    assert np.isnan(bound.usd)


def test_a_stage_without_a_runnable_variant() -> None:
    base = facts()
    stuck = facts(best_throughput_rps=np.where(np.arange(4)[:, None] == 1, 0.0, base.best_throughput_rps))
    assert fluid_bound_usd(stuck, np.array([10.0, 0.0, 10.0]), 60.0).status == "optimal"
    assert fluid_bound_usd(stuck, np.array([10.0, 1.0, 10.0]), 60.0).status == "infeasible"


def test_nothing_served_costs_nothing() -> None:
    assert fluid_bound_usd(facts(), np.zeros(3), 3600.0).usd == 0.0


def test_gap() -> None:
    assert gap(10.0, 8.0) == pytest.approx(0.2)
    assert np.isnan(gap(0.0, 0.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_below_any_whole_plan_that_serves_as_much(seed: int) -> None:
    """Optimal plans for each slot of a day pay at least the bounds of the slots, and those the bound of the day."""
    rng = np.random.default_rng(seed)
    fleet = facts(headroom=0.0)
    demand = fleet.stage_demand(rng.uniform(0.0, 1200.0, (2, 3)))
    slot_s = 1800.0
    plans = [solve_fleet_mip(FleetProblem.from_facts(fleet, demand[:, t])) for t in range(3)]
    paid = sum(float(p.open_nodes @ fleet.price_usd_per_hour) for p in plans) * slot_s / 3600.0
    served = np.stack([demand[:, t] - p.unserved_rps for t, p in enumerate(plans)], axis=1)
    by_slot = [fluid_bound_usd(fleet, served[:, t] * slot_s, slot_s).usd for t in range(3)]
    whole = fluid_bound_usd(fleet, (served * slot_s).sum(axis=1), 3 * slot_s)
    assert whole.usd <= sum(by_slot) + 1e-6
    assert sum(by_slot) <= paid + 1e-6


def test_bound_grows_with_what_is_served() -> None:
    fleet = facts()
    usd = [fluid_bound_usd(fleet, np.array([1.0, 1.0, 2.0]) * n, 3600.0).usd for n in (1e5, 2e5, 1e6)]
    assert usd[0] < usd[1] < usd[2]
