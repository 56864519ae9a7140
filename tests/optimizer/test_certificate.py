"""The clairvoyant optimum against enumeration, the ledger's sum, and prices against finite differences."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from optimizer.bounds import fluid_bound_usd
from optimizer.certificate.clairvoyant import clairvoyant, demands_of
from optimizer.certificate.covering import covering
from optimizer.certificate.ladder import LINES, Rung, ledger_of
from optimizer.certificate.levels import Levels
from optimizer.certificate.prices import MOST_SLOTS, bottleneck_prices
from optimizer.certificate.reserved import ReservedLevels
from optimizer.certificate.schedule import forward_max, leads, sequence_usd
from simulator.policy import FleetFacts
from tests.optimizer.factory import facts
from tests.optimizer.tiny_days import fleets_that_serve, nodes_of, optimum_usd, tiny_day


@pytest.mark.parametrize("worlds", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_the_optimum_of_random_days_lies_between_the_two_values(worlds: int) -> None:
    """Enumerated for many days; most of them are settled exactly, and none is given a value that is wrong."""
    exact = days = beyond = told = 0
    seed = 0
    while days < worlds:
        seed += 1
        fleet, demand, length_s = tiny_day(np.random.default_rng(seed))
        choices = [len(fleets_that_serve(fleet, d)) for d in demand]
        if math.prod(choices) > 1500:
            continue
        days += 1
        levels = Levels(covering(fleet, fleet.throughput_rps), fleet)
        lead = leads(fleet, levels.problem)
        levels.refine(np.concatenate([demand, demands_of(lead, demand)]), np.ones(2 * len(demand)))
        found = clairvoyant(levels, lead, demand, length_s)
        if 0 in choices:
            beyond += 1
            assert found.slots_beyond <= choices.count(0), seed
            assert found.slots_beyond or found.upper_usd == np.inf, seed
            told += found.slots_beyond == choices.count(0)
            continue
        truth = optimum_usd(fleet, demand, length_s)
        assert found.slots_beyond == 0, seed
        assert found.lower_usd <= truth * (1 + 1e-9), seed
        assert truth <= found.upper_usd * (1 + 1e-9), seed
        fluid = fluid_bound_usd(fleet, length_s @ demand, float(length_s.sum()))
        assert fluid.usd <= truth + 1e-9, seed
        exact += found.status == "proven"
    assert beyond < 0.6 * days
    assert told > 0.8 * beyond
    assert exact > 0.6 * (days - beyond)


def test_values_of_demands_that_were_never_solved() -> None:
    """Few solves, many demands: the cost of the cheapest fleet lies between the values of each."""
    rng = np.random.default_rng(5)
    checked = 0
    for _ in range(12):
        fleet, _, _ = tiny_day(rng)
        demand = rng.uniform(0.0, 60.0, (12, len(fleet.stages)))
        levels = Levels(covering(fleet, fleet.throughput_rps), fleet)
        levels.refine(demand, np.ones(len(demand)), solves=6)
        for d, low, high in zip(demand, levels.lower(demand), levels.upper(demand)):
            costs = [
                float(nodes @ fleet.price_usd_per_hour)
                for x in fleets_that_serve(fleet, d)
                if (nodes := nodes_of(fleet, x)) is not None
            ]
            if costs:
                checked += 1
                assert low - 1e-9 <= min(costs) <= high + 1e-9
    assert checked > 40


def test_refining_never_loosens_and_stops_at_its_solves() -> None:
    fleet = facts(headroom=0.0)
    demand = fleet.stage_demand(np.random.default_rng(2).uniform(10.0, 900.0, (2, 60))).T
    levels = Levels(covering(fleet, fleet.throughput_rps), fleet)
    widths = []
    for solves in (2, 10, 60):
        levels.refine(demand, np.ones(len(demand)), solves=solves)
        assert levels.solves <= 72 + 3
        widths.append(float((levels.upper(demand) - levels.lower(demand)).sum()))
    assert widths[0] >= widths[1] >= widths[2]
    assert widths[2] < 0.02 * float(levels.upper(demand).sum())


def test_a_start_is_paid_for_before_it_serves() -> None:
    """One node is needed in slots 0 and 4 of six; a lead of one slot for the replica and one for the node's boot."""
    fleet = facts(
        start_delay_s=np.full((4, 2), 40.0), boot_s=np.array([60.0, 60.0]), node_count=np.array([6, 0]), headroom=0.0
    )
    demand = np.zeros((6, 3))
    demand[[0, 4], 2] = 100.0
    levels = Levels(covering(fleet, fleet.throughput_rps), fleet)
    lead = leads(fleet, levels.problem)
    assert (lead.least_replica, lead.node[0]) == (1, 1)
    levels.refine(np.concatenate([demand, demands_of(lead, demand)]), np.ones(12))
    found = clairvoyant(levels, lead, demand, np.full(6, 60.0))
    assert found.upper_usd == pytest.approx(4 * 10.0 / 60.0)  # slots 0 and 2 to 4
    assert found.lower_usd == pytest.approx(found.upper_usd)
    at_once = clairvoyant(levels, leads(fleet, levels.problem, at_once=True), demand, np.full(6, 60.0))
    assert at_once.upper_usd == pytest.approx(2 * 10.0 / 60.0)


def test_a_sequence_without_room_has_no_cost() -> None:
    fleet = facts(node_count=np.array([1, 0]))
    many = np.zeros((1, 4, 2), dtype=np.int64)
    many[0, 1, 0] = 5
    problem = covering(fleet, fleet.throughput_rps)
    assert sequence_usd(problem, leads(fleet, problem), many, np.array([60.0])) == np.inf


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8), st.integers(0, 9))
def test_forward_max(values: list[int], ahead: int) -> None:
    expected = [max(values[t : t + ahead + 1]) for t in range(len(values))]
    assert forward_max(np.array(values), ahead).tolist() == expected


@given(st.lists(st.floats(0.0, 1e9), min_size=len(LINES) + 1, max_size=len(LINES) + 1))
def test_the_ledger_sums_to_cost_less_bound(usd: list[float]) -> None:
    ledger = ledger_of(tuple(Rung(value, value) for value in usd))
    assert abs(ledger.total_usd - (ledger.cost_usd - ledger.bound_usd)) <= 1e-9 * max(1e-300, *usd)
    assert [line.key for line in ledger.lines] == [kind.key for kind in LINES]


def test_a_ledger_needs_all_its_rungs() -> None:
    with pytest.raises(ValueError, match="8 are expected"):
        ledger_of((Rung(1.0, 1.0),))


# --- prices ---------------------------------------------------------------------------------------------------------


def least_usd_per_day(fleet: FleetFacts, demand: np.ndarray, **more: Any) -> float:
    """The fluid programme slot by slot, written for SciPy: ``more`` of a resource, of a node type or at a stage."""
    variants, types = fleet.throughput_rps.shape
    resources, total = fleet.capacity.shape[1], 0.0
    for rps in demand:
        wanted = rps + more.get("stage", 0.0)
        rows, limits = [], []
        for k in range(len(fleet.stages)):
            served = np.where(fleet.variant_stage[:, None] == k, fleet.throughput_rps, 0.0)
            rows.append(np.concatenate([-served.ravel(), np.zeros(types)]))
            limits.append(-wanted[k])
        for n in range(types):
            for r in range(resources):
                claims, nodes = np.zeros((variants, types)), np.zeros(types)
                claims[:, n], nodes[n] = fleet.need[:, n, r], -fleet.capacity[n, r]
                rows.append(np.concatenate([claims.ravel(), nodes]))
                limits.append(more["resource"][n, r] if "resource" in more else 0.0)
        counts = fleet.node_count + more.get("node", np.zeros(types))
        bounds = [(0.0, None if rate > 0.0 else 0.0) for rate in fleet.throughput_rps.ravel()]
        price = np.concatenate([np.zeros(variants * types), fleet.price_usd_per_hour])
        answer = linprog(price, np.array(rows), limits, bounds=[*bounds, *[(0.0, float(c)) for c in counts]])
        assert answer.status == 0
        total += answer.fun * 24.0 / len(demand)
    return total


def crowded() -> tuple[FleetFacts, np.ndarray]:
    """GPU nodes are all in use in some slots, and CPU nodes take the rest."""
    capacity = np.array([[4.0, 96.0, 48.0, 256.0, 2.0, 3.0], [0.0, 0.0, 32.0, 128.0, 1.0, 2.0]])
    need = np.zeros((4, 2, 6))
    need[:, 0, :4] = [[0.5, 4, 2, 8], [1, 20, 4, 16], [1, 10, 2, 8], [0.5, 5, 2, 8]]
    need[:, 1, 2:4] = [[4, 8], [0, 0], [16, 16], [8, 8]]
    fleet = facts(node_count=np.array([2, 20]), need=need, capacity=capacity)
    return fleet, fleet.stage_demand(np.array([[300.0, 800.0, 1100.0], [200.0, 700.0, 1500.0]])).T


def test_prices_are_finite_differences_of_the_programme() -> None:
    fleet, demand = crowded()
    prices = bottleneck_prices(fleet, demand, np.full(3, 600.0))
    base = least_usd_per_day(fleet, demand)
    assert prices.usd_per_day == pytest.approx(base)
    assert prices.slots_left_out == 0
    step = 1e-4
    for n in range(2):
        node = np.zeros(2)
        node[n] = step
        assert prices.node_usd_per_day[n] == pytest.approx(
            (base - least_usd_per_day(fleet, demand, node=node)) / step, abs=1e-4
        )
        for r in range(fleet.capacity.shape[1]):
            resource = np.zeros(fleet.capacity.shape)
            resource[n, r] = step
            saved = (base - least_usd_per_day(fleet, demand, resource=resource)) / step
            assert prices.resource_usd_per_day[n, r] == pytest.approx(saved, abs=1e-4)
    for k in range(3):
        stage = np.zeros(3)
        stage[k] = step
        added = (least_usd_per_day(fleet, demand, stage=stage) - base) / step
        assert prices.stage_usd_per_day[k] == pytest.approx(1000.0 * added, rel=1e-4)
    assert prices.node_usd_per_day[0] > 1.0
    assert (prices.resource_usd_per_day > 0.0).sum() >= 2


def test_prices_leave_out_what_is_beyond_the_cluster_and_take_long_runs_in_parts() -> None:
    fleet, demand = crowded()
    part = bottleneck_prices(fleet, np.vstack([demand, [[1e6, 1e6, 1e6]]]), np.full(4, 600.0))
    assert part.slots_left_out == 1
    assert part.usd_per_day == pytest.approx(bottleneck_prices(fleet, demand, np.full(3, 600.0)).usd_per_day)
    long = np.repeat(demand[:1], 2 * MOST_SLOTS + 1, axis=0)
    taken = bottleneck_prices(fleet, long, np.full(len(long), 10.0))
    assert taken.slots_per_part == 3
    assert taken.usd_per_day == pytest.approx(least_usd_per_day(fleet, demand[:1]))


def test_a_budget_plays_no_part_in_prices() -> None:
    fleet, demand = crowded()
    tight = replace(fleet, budget_usd_per_hour=float(fleet.price_usd_per_hour.min()))
    free, asked = (bottleneck_prices(f, demand, np.full(3, 600.0)) for f in (fleet, tight))
    assert asked.slots_left_out == 0
    assert asked.usd_per_day == pytest.approx(free.usd_per_day)
    assert asked.stage_usd_per_day == pytest.approx(free.stage_usd_per_day)


def test_more_demand_never_makes_the_optimum_cheaper() -> None:
    """Each value grows with demand, where both optima are settled, and most of them do so truly."""
    settled = grown = 0
    for seed in range(14):
        fleet, demand, length_s = tiny_day(np.random.default_rng(seed))
        levels = Levels(covering(fleet, fleet.throughput_rps), fleet)
        lead = leads(fleet, levels.problem)
        more = 1.3 * demand
        both = np.concatenate([demand, more])
        levels.refine(np.concatenate([both, demands_of(lead, demand), demands_of(lead, more)]), np.ones(2 * len(both)))
        small, large = clairvoyant(levels, lead, demand, length_s), clairvoyant(levels, lead, more, length_s)
        assert small.lower_usd <= large.lower_usd, seed
        assert small.slots_beyond <= large.slots_beyond, seed
        if small.status == large.status == "proven":
            settled += 1
            assert small.upper_usd <= large.upper_usd * (1 + 5e-4), seed
            grown += large.lower_usd > small.upper_usd
    assert settled >= 4
    assert grown >= 2


def test_a_reserve_has_a_rung_of_its_own() -> None:
    """A fleet that survives the loss of a node costs a node more than one that keeps headroom alone."""
    fleet = facts(node_count=np.array([6, 0]), headroom=0.1, headroom_after_loss=0.0)
    demand = np.array([[0.0, 0.0, 900.0], [0.0, 0.0, 1900.0], [0.0, 0.0, 3500.0]])
    levels = ReservedLevels(fleet)
    levels.refine(demand, np.ones(3), solves=12)
    plain = Levels(covering(fleet, fleet.throughput_rps), fleet)
    plain.refine(1.1 * demand, np.ones(3))
    assert (levels.lower(demand) <= levels.upper(demand)).all()
    assert plain.upper(1.1 * demand).tolist() == [10.0, 20.0, 20.0]
    assert levels.upper(demand).tolist() == [20.0, 20.0, 30.0]
    assert (levels.lower(demand) > plain.upper(1.1 * demand) - 1e-6).all()
