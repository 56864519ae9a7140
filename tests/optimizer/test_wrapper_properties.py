"""What wrappers promise, whatever the policy inside asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.wrappers import WRAPPERS
from simulator.policy import Allocation, FleetFacts, Observation
from tests.optimizer.factory import facts, observation

FLEET = facts()
RATES = np.full((2, 12), 100.0)
asked = st.lists(
    st.lists(st.integers(0, 9), min_size=8, max_size=8).map(
        lambda flat: np.array(flat).reshape(4, 2) * FLEET.runs_on()
    ),
    min_size=2,
    max_size=10,
)
gaps_s = st.lists(st.sampled_from([10.0, 60.0, 290.0]), min_size=10, max_size=10)


class Asks:
    """A policy that says what it is told to."""

    def __init__(self, answers: list[np.ndarray]) -> None:
        self._answers = iter(answers)

    def decide(self, observation: Observation) -> Allocation:
        return Allocation(next(self._answers))


def wrapped(
    name: str, answers: list[np.ndarray], gaps: list[float] | None = None, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """``replicas[decision, variant, node_type]`` and ``now_s[decision]``."""
    policy = WRAPPERS[name](Asks(answers), FLEET, WRAPPERS[name].Options(**options))
    now = np.concatenate([[0.0], np.cumsum((gaps or [60.0] * 10)[: len(answers) - 1])])
    seen = [policy.decide(observation(FLEET, 1, RATES, now_s=float(t))).replicas for t in now]
    return np.array(seen), now


def totals(replicas: np.ndarray) -> np.ndarray:
    return np.array([FLEET.by_stage(r.sum(axis=1)) for r in replicas])


def sound(replicas: np.ndarray, fleet: FleetFacts = FLEET) -> None:
    assert replicas.dtype.kind == "i"
    assert (replicas >= 0).all()
    assert (replicas[:, ~fleet.runs_on()] == 0).all()


@given(asked, st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_bounds_are_never_left(answers: list[np.ndarray], low: int, more: int) -> None:
    replicas, _ = wrapped("bounds", answers, min_replicas=low, max_replicas=low + more)
    sound(replicas)
    assert (totals(replicas) >= low).all()
    assert (totals(replicas) <= low + more).all()
    within = (totals(np.array(answers)) >= low) & (totals(np.array(answers)) <= low + more)
    same = within[:, FLEET.variant_stage][:, :, None]
    assert (np.where(same, replicas == np.array(answers), True)).all()


@given(asked, gaps_s, st.sampled_from([0.0, 60.0, 300.0]), st.sampled_from([0.0, 60.0, 300.0]))
@settings(max_examples=60, deadline=None)
def test_nothing_changes_within_a_cooldown(
    answers: list[np.ndarray], gaps: list[float], up_s: float, down_s: float
) -> None:
    replicas, now = wrapped("cooldown", answers, gaps, up_s=up_s, down_s=down_s)
    sound(replicas)
    counts = totals(replicas)
    for stage in range(counts.shape[1]):
        members = FLEET.variant_stage == stage
        changed = 0.0
        for before, after in zip(range(len(now)), range(1, len(now))):
            if (replicas[after][members] != replicas[before][members]).any():
                grown = counts[after, stage] > counts[before, stage]
                assert now[after] - changed >= (up_s if grown else down_s)
                changed = now[after]


@given(asked, st.one_of(st.none(), st.integers(1, 4)), st.one_of(st.none(), st.integers(1, 4)))
@settings(max_examples=60, deadline=None)
def test_steps_are_limited_and_go_the_way_that_was_asked(
    answers: list[np.ndarray], up: int | None, down: int | None
) -> None:
    replicas, _ = wrapped("rate_limit", answers, up=up, down=down)
    sound(replicas)
    step, wish = np.diff(replicas, axis=0), np.array(answers)[1:] - replicas[:-1]
    assert (step <= (up if up is not None else np.inf)).all()
    assert (step >= (-down if down is not None else -np.inf)).all()
    assert (step * wish >= 0).all()
    assert (np.abs(step) <= np.abs(wish)).all()


@given(asked, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_hysteresis_shrinks_much_or_not_at_all(answers: list[np.ndarray], fraction: float) -> None:
    replicas, _ = wrapped("hysteresis", answers, fraction=fraction)
    sound(replicas)
    served = np.array([FLEET.served_rps(r) for r in replicas])
    fell = served[1:] < served[:-1]
    assert (served[1:][fell] < (served[:-1] * (1.0 - fraction))[fell] + 1e-9).all()
    grown = np.array([FLEET.served_rps(r) for r in answers])[1:] >= served[:-1]
    followed = (replicas[1:] == np.array(answers)[1:])[:, :, :].all(axis=2)
    assert followed[grown[:, FLEET.variant_stage]].all()
