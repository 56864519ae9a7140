"""The planner's pure parts against brute force and hand-made cases."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.fleet.packing import first_fit
from optimizer.planner.least_capacity import least_capacity_rps, static_bound
from optimizer.planner.loads import at_load, scaled_trace, with_nodes
from optimizer.planner.more_nodes import fewest_more
from optimizer.planner.search import breaking_load, first_that_holds, most_asked
from optimizer.planner.static_fleet import cheapest_fleet, fits, frontier, mixes, planning_problem, strength
from optimizer.planner.strongest import binding_resources, strongest_replicas
from optimizer.policies.fixed import Fixed, replicas_by_name, replicas_of
from simulator.life.plan import Outage, Risk
from tests.optimizer.factory import context, facts, tiny_problem
from tests.simulator.mini import load_mini
from workloads.errors import InputError
from workloads.trace.spec import TraceSpec

PEAK = np.array([300.0, 300.0, 200.0])
"""Of the stages of `factory.facts`."""


# --- searches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(1, 9))
def test_the_first_that_holds_is_found_from_any_guess_and_its_weaker_neighbour_was_asked(size: int) -> None:
    for first, start in itertools.product(range(size + 1), range(size)):
        asked: list[int] = []

        def holds(i: int, first: int = first, asked: list[int] = asked) -> bool:
            asked.append(i)
            return i >= first

        found = first_that_holds(holds, size, start)
        assert found == (first if first < size else None)
        assert len(asked) == len(set(asked)), "nothing is asked twice: it costs a simulation"
        if found:
            assert {found, found - 1} <= set(asked)
        assert len(asked) <= most_asked(size, start) <= size


def seeds_that_break_at(*breaks: float) -> tuple[Any, list[tuple[float, int]]]:
    """Seed ``i`` holds below ``breaks[i]``; beside it, what was asked."""
    asked: list[tuple[float, int]] = []

    def margins(loads: Any, seeds: Any) -> list[list[float]]:
        asked.extend((load, seed) for load in loads for seed in seeds)
        return [[breaks[seed] - load - 1e-12 for seed in seeds] for load in loads]

    return margins, asked


@given(st.lists(st.floats(1.0, 7.9), min_size=1, max_size=4), st.floats(1.01, 2.0), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_breaking_load_is_bracketed_on_every_seed(breaks: list[float], guess: float, tolerance: float) -> None:
    margins, asked = seeds_that_break_at(*breaks)
    found = breaking_load(margins, range(len(breaks)), guess=guess, tolerance=tolerance, most=8.0)
    assert found.breaks is not None
    assert found.holds < min(breaks) or found.holds == 1.0
    assert min(breaks) <= found.breaks
    assert found.breaks / found.holds - 1.0 <= tolerance + 1e-12
    if found.holds > 1.0:
        assert {(found.holds, seed) for seed in range(len(breaks))} <= set(asked), "all seeds were asked where it holds"


def test_the_search_goes_on_with_the_seed_that_breaks_first() -> None:
    margins, asked = seeds_that_break_at(4.0, 3.0, 1.5)
    breaking_load(margins, (0, 1, 2), guess=1.1, tolerance=0.02, most=8.0)
    assert sum(seed == 1 for _, seed in asked) == 2, "once beside each of the others"


def test_a_plan_that_does_not_break_says_so() -> None:
    margins, _ = seeds_that_break_at(9.0)
    found = breaking_load(margins, (0,), guess=1.1, tolerance=0.05, most=4.0)
    assert (found.holds, found.breaks) == (4.0, None)


# --- bounds --------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 500), st.floats(1.0, 60.0)), min_size=1, max_size=8),
    st.floats(0.0, 5.0),
    st.floats(0.5, 0.999),
)
def test_the_least_capacity_is_where_enough_can_be_in_time(
    slots: list[tuple[int, float]], slo_s: float, quantile: float
) -> None:
    arrivals, length_s = np.array([a for a, _ in slots], dtype=float), np.array([s for _, s in slots])

    def in_time(c: float) -> float:
        return float(np.minimum(arrivals, c * (length_s + slo_s)).sum())

    least = least_capacity_rps(arrivals, length_s, slo_s, quantile)
    asked = quantile * arrivals.sum()
    assert in_time(least) == pytest.approx(asked, rel=1e-9, abs=1e-9)
    if asked > 0:
        assert in_time(least * (1 - 1e-6)) < asked


def whole_fleets(fleet: Any, most: int) -> Any:
    """Every way to put up to ``most`` replicas of each pair that runs on the nodes at hand, with its nodes."""
    pairs = [tuple(p) for p in np.argwhere(fleet.best_throughput_rps > 0)]
    problem = planning_problem(fleet, np.ones(len(fleet.stages)), fleet.node_count)
    for counts in itertools.product(range(most + 1), repeat=len(pairs)):
        replicas = np.zeros(fleet.throughput_rps.shape, dtype=np.int64)
        for pair, count in zip(pairs, counts):
            replicas[pair] = count
        packed = [first_fit(problem.share[:, n], replicas[:, n], int(c)) for n, c in enumerate(fleet.node_count)]
        if sum(p.complete for p in packed) == replicas.sum():
            yield replicas, np.array([p.nodes for p in packed])


def test_no_whole_fleet_is_cheaper_than_the_static_bound() -> None:
    fleet = facts()
    demand = np.array([350.0, 150.0])
    bound = static_bound(fleet, demand)
    best = np.inf
    for replicas, nodes in whole_fleets(fleet, 2):
        rate = fleet.by_stage((fleet.best_throughput_rps * replicas).sum(axis=1))
        if (rate >= demand[fleet.stage_service]).all():
            best = min(best, float(nodes @ fleet.price_usd_per_hour))
    assert 0.0 < bound.fluid_usd_per_hour <= bound.integer_usd_per_hour <= best
    assert bound.integer_usd_per_hour == pytest.approx(best, rel=1e-3), "and it is sharp here"


def test_what_the_whole_cluster_cannot_serve_has_no_finite_bound() -> None:
    assert static_bound(facts(), np.array([1e5, 0.0])).integer_usd_per_hour == np.inf


# --- the strongest fleet on given nodes ------------------------------------------------------------------


@pytest.mark.parametrize("seed", [*range(12), 7_000])
def test_the_strongest_replicas_are_those_of_brute_force(seed: int) -> None:
    problem = tiny_problem(np.random.default_rng(seed), churn=False)
    peak = np.maximum(problem.demand_rps, 1.0)
    nodes = np.minimum(problem.node_count, 2)
    none = np.zeros(problem.throughput_rps.shape, dtype=np.int64)
    found = strongest_replicas(problem, nodes, peak, none)

    def least(replicas: np.ndarray) -> float:
        return float((problem.served_rps(replicas) / peak).min())

    pairs = [tuple(p) for p in np.argwhere(problem.throughput_rps > 0)]
    best = 0.0
    for counts in itertools.product(range(5 if len(pairs) <= 4 else 3), repeat=len(pairs)):
        replicas = none.copy()
        for pair, count in zip(pairs, counts):
            replicas[pair] = count
        if least(replicas) <= best + 1e-12:
            continue
        packed = [first_fit(problem.share[:, n], replicas[:, n], int(c)) for n, c in enumerate(nodes)]
        if sum(p.complete for p in packed) == replicas.sum():
            best = least(replicas)
    assert least(found) >= best * (1 - 1e-3) - 1e-9


def test_the_binding_resource_is_the_one_that_more_of_would_help() -> None:
    fleet, nodes = facts(), np.array([2, 0])
    problem = planning_problem(fleet, PEAK, nodes)
    binding = binding_resources(problem, nodes, PEAK)
    # On GPU nodes: 0.5 GPUs for 400, 1 for 300, 1 for 500 requests/s (base serves more a GPU), and 4 GPUs a node.
    gpus_per_factor = 0.5 * 300 / 400 + 300 / 300 + 200 / 500
    assert binding.strength == pytest.approx(8 / gpus_per_factor)
    assert binding.resource_share[0, 0] == pytest.approx(1.0)
    assert binding.resource_share.sum() == pytest.approx(1.0)
    assert binding.stage_share.sum() == pytest.approx(1.0)
    assert binding.stage_share[1] == pytest.approx(1.0 / gpus_per_factor)


# --- static fleets ---------------------------------------------------------------------------------------


def test_a_frontier_grows_in_cost_and_strength_and_can_be_placed() -> None:
    fleet = facts()
    for mix in mixes(fleet, PEAK):
        found = list(frontier(fleet, PEAK, mix, 0.5, 2.0))
        assert found
        assert all(a.strength < b.strength and a.usd_per_hour <= b.usd_per_hour for a, b in itertools.pairwise(found))
        for one in found:
            assert fits(fleet, one.replicas, one.nodes)
            assert one.usd_per_hour == pytest.approx(float(one.nodes @ fleet.price_usd_per_hour))
            assert one.strength == pytest.approx(strength(fleet, one.replicas, PEAK))
            assert not one.nodes[~mix.may].any()


def test_mixes_are_those_that_serve_every_stage() -> None:
    assert [m.name for m in mixes(facts(), PEAK)] == ["any", "gpu"], "shop/rank runs on GPUs alone"
    assert [m.name for m in mixes(facts(), PEAK * [1, 0, 1])] == ["any", "gpu", "cpu"]


def test_more_demand_never_makes_the_cheapest_fleet_cheaper() -> None:
    fleet = facts()
    any_mix = mixes(fleet, PEAK)[0]
    costs = [next(frontier(fleet, PEAK * growth, any_mix, 1.0, 1.0)).usd_per_hour for growth in (0.5, 1.0, 3.0, 6.0)]
    assert costs == sorted(costs)
    assert costs[-1] > costs[0]


def test_what_stands_is_part_of_every_fleet() -> None:
    least = np.zeros((4, 2), dtype=np.int64)
    least[1, 0] = 2
    fleet = facts(min_replicas=least)
    for one in frontier(fleet, PEAK, mixes(fleet, PEAK)[0], 0.8, 1.3):
        assert (one.replicas >= least).all()
        assert fits(fleet, one.replicas, one.nodes)


def test_what_stands_counts_when_nodes_are_filled() -> None:
    least = np.zeros((4, 2), dtype=np.int64)
    least[1, 0] = least[2, 0] = 8  # four GPU nodes, more of both stages than is asked for
    fleet, peak = facts(min_replicas=least, node_count=np.array([12, 0])), np.array([1200.0, 1200.0, 800.0])
    (found,) = frontier(fleet, peak, mixes(fleet, peak)[0], 1.0, 1.0)
    assert found.nodes.tolist() == [5, 0], "one node of retrieve beside them"
    assert found.strength == pytest.approx(2.0)
    four = facts(min_replicas=least, node_count=np.array([4, 0]))
    served = peak * [0, 1, 1]
    problem, standing = planning_problem(four, served, four.node_count), four.served_rps(least)
    assert binding_resources(problem, problem.node_count, served, standing).strength == pytest.approx(2.0)
    more = fewest_more(four, peak, 1.0)
    assert more is not None
    assert more.nodes.tolist() == [4, 3], "three CPU nodes for retrieve, cheaper than a GPU node"
    assert more.strength == pytest.approx(1.0)


def test_a_small_stage_is_served_as_well_as_a_large_one() -> None:
    rates = facts().throughput_rps.copy()
    rates[1, 0] = 0.95
    fleet = facts(throughput_rps=rates, best_throughput_rps=1.4 * rates, node_count=np.array([6, 0]))
    asked = np.array([400.0 * 22, 1.0, 0.0])  # 11 of three nodes' 12 GPUs for the large one, 2 for the small one
    for demand in (asked, asked * [1, 1e-3, 1]):
        found = cheapest_fleet(fleet, demand, fleet.node_count, "any", demand)
        assert found is not None
        assert found.strength >= 1.0 - 1e-5
    missing = facts(throughput_rps=rates, best_throughput_rps=1.4 * rates, node_count=np.array([3, 0]))
    assert cheapest_fleet(missing, asked, missing.node_count, "any", asked) is None
    more = fewest_more(missing, asked, 1.0)
    assert more is not None
    assert more.strength >= 1.0 - 1e-5


def test_missing_nodes_are_counted() -> None:
    fleet = facts(node_count=np.array([1, 0]))
    needed = PEAK * 4.0  # more than twice what one node of four GPUs serves
    found = fewest_more(fleet, needed, 1.0)
    assert found is not None
    extra = found.nodes - fleet.node_count
    assert extra[0] >= 1
    assert extra[1] <= 0
    fewer = facts(node_count=fleet.node_count + extra - [1, 0])
    assert not any(f.strength >= 1.0 for f in frontier(fewer, needed, mixes(fewer, needed)[0], 0.3, 1.0))
    nowhere = facts(throughput_rps=facts().throughput_rps * [[1], [0], [1], [1]])
    assert fewest_more(nowhere, needed, 1.0) is None


# --- loads and clusters ----------------------------------------------------------------------------------


def test_every_form_of_trace_is_scaled() -> None:
    streams = TraceSpec.model_validate(
        {"duration_s": 60, "streams": [{"service": "a", "arrivals": {"rate_rps": 2}},
                                       {"service": "b", "arrivals": {"rate_rps": 3}}]}
    )  # fmt: skip
    scaled = scaled_trace(streams, 1.5).streams
    assert scaled is not None
    assert [s.arrivals.rate_rps for s in scaled] == [3.0, 4.5]
    counts = scaled_trace(TraceSpec.model_validate({"counts": {"file": "f", "mix": {"a": 1}, "scale": 2}}), 1.5).counts
    assert counts is not None
    assert counts.scale == 3.0
    assert scaled_trace(TraceSpec.model_validate({"file": "f.parquet"}), 0.5).scale == 0.5
    assert scaled_trace(streams, 1.0) is streams


def test_a_scenario_at_another_load_has_so_many_requests(tmp_path: Path) -> None:
    scenario = load_mini(tmp_path)
    once, twice = (sum(len(b.arrival_s) for b in at_load(scenario, f).trace_for(1).blocks()) for f in (1.0, 2.0))
    assert twice == pytest.approx(2 * once, rel=0.1)


def test_what_happens_to_nodes_follows_them_to_a_smaller_cluster(tmp_path: Path) -> None:
    from dataclasses import replace

    scenario = load_mini(tmp_path)  # box/0 to box/5, then gpu/0 to gpu/3
    outages = (*(Outage(1.0, 2.0, "node", (n,)) for n in (1, 5, 6, 9)), Outage(0.0, 1.0, "store", (), 0.5))
    risks = (Risk("slow_node", (7,), "gpu/1", 10.0, 1.0), Risk("node", (9,), "gpu/3", 10.0, 1.0))
    scenario = replace(scenario, life=replace(scenario.life, outages=outages, risks=risks))
    smaller = with_nodes(scenario, np.array([2, 2]))
    assert [o.target for o in smaller.life.outages] == [(1,), (2,), ()]
    assert [(r.target, r.name) for r in smaller.life.risks] == [((3,), "gpu/1")]
    assert [n.count for n in smaller.cluster.node_types] == [2, 2]


# --- the policy that keeps a fleet -----------------------------------------------------------------------


def test_a_fixed_policy_says_its_replicas_by_name_and_back() -> None:
    fleet = facts()
    replicas = np.array([[2, 1], [3, 0], [0, 0], [0, 4]])
    named = replicas_by_name(fleet, replicas)
    assert named["shop/rank/base"] == {"gpu": 3}
    assert (replicas_of(fleet, named) == replicas).all()
    policy = Fixed.from_context(context(fleet, np.ones((2, 3))), replicas=named)
    assert (policy.decide(None).replicas == replicas).all()  # type: ignore[arg-type]
    even = Fixed.from_context(
        context(fleet, np.ones((2, 3))), replicas=named, most_per_node={"shop/rank/base": {"gpu": 1}}
    )
    most = even.decide(None).most_per_node  # type: ignore[arg-type]
    assert most is not None
    assert most[1, 0] == 1
    assert most[3, 1] == 4, "where nothing is said, as many as there are"


@pytest.mark.parametrize(
    ("replicas", "told"),
    [
        (None, "names no replica"),
        ({"shop/rank/base": 3}, "is no mapping"),
        ({"shop/rank/base": {"gpu": -1}}, "not a whole number"),
        ({"shop/rank/bas": {"gpu": 1}}, "no variant 'shop/rank/bas'"),
        ({"shop/rank/base": {"gpus": 1}}, "no node type 'gpus'"),
        ({"shop/rank/base": {"cpu": 1}}, "cannot run on cpu"),
    ],
)
def test_what_a_fixed_policy_cannot_keep_is_told(replicas: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Fixed.from_context(context(facts(), np.ones((2, 3))), replicas=replicas)
