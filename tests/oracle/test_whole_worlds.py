"""The oracle on random worlds of the whole request path: rules kept, features met, alone and together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import ClassVar

import numpy as np
import pytest

from .audit_whole import audit_whole
from .coverage import seen_in, unseen
from .finished import Finished
from .model import as_arrays
from .request import Request, Stay
from .simpy_oracle import simulate
from .whole_worlds import FEATURES, WholeScenario, whole_world
from .worlds import random_world

SEEDS = range(100)


@cache
def served(seed: int) -> tuple[WholeScenario, Finished]:
    scenario = whole_world(np.random.default_rng([4, seed]), requests=90)
    return scenario, simulate(*scenario)


@pytest.mark.parametrize("seed", SEEDS)
def test_keeps_every_rule(seed: int) -> None:
    scenario, finished = served(seed)
    assert audit_whole(*scenario, finished) == []


@pytest.mark.parametrize("seed", range(20))
def test_undressed_worlds_are_what_they_were(seed: int) -> None:
    """With every feature there but doing nothing, the plain path."""
    world, arrivals, controls = random_world(np.random.default_rng(seed), requests=60)
    stages = (replace(stage, retries=0, retry_delay_s=1.0, split_items=10**6, expire_s=1e9) for stage in world.stages)
    dressed = replace(world, stages=tuple(stages), sites=world.sites * 2, node_site=(0,) * len(world.nic_bytes_per_s))
    plain, same = (simulate(each, arrivals, controls) for each in (world, dressed))
    assert repr(plain.outcomes) == repr(same.outcomes)
    assert plain.released_s == same.released_s


@pytest.mark.parametrize("seed", range(0, 100, 10))
def test_what_comes_later_changes_nothing_before(seed: int) -> None:
    (world, arrivals, controls), finished = served(seed)
    middle_s = arrivals[45].arrival_s
    early = simulate(
        world,
        [arrival for arrival in arrivals if arrival.arrival_s <= middle_s],
        [control for control in controls if control.time_s <= middle_s],
        until_s=middle_s,
    )
    late = finished.outcomes[: len(early.outcomes)]
    is_over = np.array([outcome.over_s <= middle_s for outcome in late])
    one, other = as_arrays(early.outcomes, 3), as_arrays(late, 3)
    np.testing.assert_array_equal(one.status != 0, is_over)
    np.testing.assert_array_equal(one.status[is_over], other.status[is_over])
    np.testing.assert_array_equal(one.done_s[is_over], other.done_s[is_over])
    np.testing.assert_array_equal(one.end_s[is_over], other.end_s[is_over])


def test_same_seed_same_world() -> None:
    one, other = (whole_world(np.random.default_rng(5)) for _ in range(2))
    assert one == other
    assert repr(simulate(*one).outcomes) == repr(simulate(*other).outcomes)


def test_worlds_meet_every_feature() -> None:
    seen: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for seed in SEEDS:
        scenario, finished = served(seed)
        seen += seen_in(scenario, finished)
        pairs.update(combinations(sorted(scenario[0].features), 2))
    assert unseen(seen) == []
    assert [pair for pair in combinations(sorted(FEATURES), 2) if pairs[pair] < 5] == []


class TestTheAuditItself:
    """Each kind of breach, planted in a sound run, is found."""

    PLANTED: ClassVar[dict[str, Callable[[Finished], object]]] = {
        "a request that never ends": lambda run: plant(last(run).outcome, status="in_flight"),
        "a request counted twice": lambda run: run.counts.update({("completed", 0): 1}),
        "an answer before its result": lambda run: plant(last(run).outcome, done_s=0.0),
        "a part done twice": lambda run: run.stays.append(done_stay(run)),
        "a part not done": lambda run: run.stays.remove(done_stay(run)),
        "a stage that ends before its last part": lambda run: plant(last(run).outcome, stage_end_s=[0.0] * 3),
        "a late start": lambda run: plant(done_stay(run), start_s=1e9),
        "a batch of two minds": lambda run: plant(done_stay(run), batch_units=10**6),
        "a batch too fast": lambda run: [plant(stay, end_s=stay.start_s) for stay in run.stays],
        "a stay without an end": lambda run: plant(run.stays[0], fate=""),
        "one try too many": lambda run: plant(run.stays[0], attempt=99),
        "a loss not counted": lambda run: plant(done_stay(run), fate="lost"),
        "a twin of no hedge": lambda run: plant(done_stay(run).task, is_twin=True),
        "a task kept by what has failed": lambda run: [plant(stay, over_s=stay.over_s + 1e-6) for stay in run.stays],
    }

    @pytest.mark.parametrize("what", PLANTED)
    def test_finds(self, what: str) -> None:
        found = 0
        for seed in (3, 8, 11, 20):
            scenario = whole_world(
                np.random.default_rng([4, seed]), requests=60, features={"splits", "retries", "replica failures"}
            )
            finished = simulate(*scenario)
            assert audit_whole(*scenario, finished) == []
            self.PLANTED[what](finished)
            found += audit_whole(*scenario, finished) != []
        assert found == 4


def plant(victim: object, **changes: object) -> object:
    """The victim with these attributes."""
    vars(victim).update(changes)
    return victim


def last(run: Finished) -> Request:
    """The last request that was completed."""
    return next(request for request in reversed(run.requests) if request.outcome.status == "completed")


def done_stay(run: Finished) -> Stay:
    """The last stay of that request that was completed."""
    return next(stay for stay in reversed(run.stays) if stay.task.request is last(run) and stay.fate == "completed")
