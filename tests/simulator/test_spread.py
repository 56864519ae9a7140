"""Replicas spread over nodes: as far as there is room, and what an allocation may say of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.engine import simulate
from simulator.placement import Placement
from simulator.policy import Allocation
from simulator.roster import Roster
from simulator.spread import Spread
from tests.simulator.mini import Calling, load_hand
from workloads.errors import InputError

NEED = np.array([1.0])


def test_no_node_takes_more_than_it_should_while_others_have_room() -> None:
    placement = Placement(np.array([[4.0], [4.0]]), np.array([1, 3]))
    spread = Spread(placement, Roster(), np.array([[0, 2]]))
    seats = spread.place(0, 1, NEED, 5)
    assert np.bincount([seat.node for seat in seats], minlength=4).tolist() == [0, 2, 2, 1]
    more = spread.place(0, 1, NEED, 3)
    assert np.bincount([seat.node for seat in [*seats, *more]], minlength=4).sum() == 8
    assert placement.hosted[1:].max() == 4  # full by wish, and placed all the same
    assert len(spread.place(0, 1, NEED, 9)) == 4


def test_a_run_survives_the_loss_that_it_spread_for(tmp_path: Path) -> None:
    """Two replicas fit a node: packed they open one, with at most one a node two."""
    scenario = load_hand(tmp_path, [1.0, 2.0], 40.0)
    open_nodes = {}
    for name, most in (("packed", None), ("spread", np.array([[1]]))):
        policy = Calling(lambda _, most=most: Allocation(np.array([[2]]), most_per_node=most))
        open_nodes[name] = simulate(scenario, policy, seed=1).intervals.open_nodes[0].tolist()
    assert open_nodes == {"packed": [1], "spread": [2]}


@pytest.mark.parametrize("name", ["most_per_node", "batch_caps"])
@pytest.mark.parametrize("wrong", [np.ones(3, int), np.array([[0.5]]), np.array([[-1]])])
def test_what_is_said_beside_replicas_is_checked(tmp_path: Path, name: str, wrong: np.ndarray) -> None:
    scenario = load_hand(tmp_path, [1.0], 40.0)
    policy = Calling(lambda _: Allocation(np.array([[1]]), **{name: wrong}))
    with pytest.raises(InputError, match=name):
        simulate(scenario, policy, seed=1)
