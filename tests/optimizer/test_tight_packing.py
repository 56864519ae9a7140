"""Contents by column generation where first fit wastes nodes: what they hold, and how near to a known optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.fleet.packing import first_fit, seated
from optimizer.fleet.problem import FleetProblem
from optimizer.fleet.rounding import place
from optimizer.fleet.tight_packing import pack_tightly


def full_nodes(rng: np.random.Generator, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares of variants and replicas that fill so many nodes to the brim in two resources: what is best is known."""
    shares = []
    for _ in range(nodes):
        gpu = rng.permutation(((0.25, 0.25, 0.5), (0.5, 0.5), (0.25,) * 4)[rng.integers(3)])
        memory = np.round(rng.dirichlet(np.full(len(gpu), 4.0)), 2)
        memory[-1] = 1.0 - memory[:-1].sum()
        shares += [(g, m) for g, m in zip(gpu, memory) if m > 0.0]
    share, count = np.unique(np.round(shares, 2), axis=0, return_counts=True)
    return share, count


def test_few_nodes_more_than_the_fewest() -> None:
    for seed in range(2):
        share, count = full_nodes(np.random.default_rng(seed), 60)
        on = pack_tightly(share, count, 200)
        assert on is not None
        assert (on.sum(axis=0) == count).all()
        assert (on @ share <= 1.0 + 1e-9).all()
        by_first_fit = first_fit(share, count, 200).nodes
        assert by_first_fit >= 63, "the example is to be one that first fit finds hard"
        assert 60 <= len(on) <= 62


def test_none_where_there_is_no_room_or_nodes_hold_many() -> None:
    share, count = full_nodes(np.random.default_rng(0), 20)
    assert pack_tightly(share, count, 19) is None
    assert pack_tightly(share / 8.0, count, 200) is None
    assert pack_tightly(share, np.zeros_like(count), 200) is None


def test_a_placement_by_first_fit_written_out() -> None:
    share, count = full_nodes(np.random.default_rng(2), 20)
    packing = first_fit(share, count, 50)
    on = seated(share, packing)
    assert on.shape == (packing.nodes, len(count))
    assert (on.sum(axis=0) == count).all()
    assert (on @ share <= 1.0 + 1e-8).all()
    assert on.any(axis=1).all()


def test_the_plan_holds_its_placement_and_says_nothing_of_a_loss() -> None:
    share, count = full_nodes(np.random.default_rng(1), 40)
    stages = len(count)
    problem = FleetProblem(
        demand_rps=count.astype(float), stage_service=np.arange(stages), variant_stage=np.arange(stages),
        throughput_rps=np.ones((stages, 1)), need=share[:, None, :], capacity=np.ones((1, 2)),
        node_count=np.array([60]), price_usd_per_hour=np.array([1.0]),
        replicas_now=np.zeros((stages, 1), dtype=np.int64), churn_usd_per_hour=np.zeros((stages, 1)),
        unserved_usd_per_request=1.0,
    )  # fmt: skip
    plan, crowded = place(problem, count[:, None], np.array([40]))
    assert plan.on_nodes is not None
    assert plan.most_per_node is None
    assert plan.unserved_rps.sum() == 0.0
    assert plan.objective_usd_per_hour == pytest.approx(len(plan.on_nodes[0]))
    assert bool(crowded[0]) == (len(plan.on_nodes[0]) > 40)
    assert plan.objective_usd_per_hour < first_fit(share, count, 60).nodes
    loose, _ = place(replace(problem, node_count=np.array([100])), count[:, None], np.array([100]))
    assert loose.on_nodes is None
