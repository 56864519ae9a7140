"""The oracle on random worlds: every rule audited, every feature met, the past untouched by the future."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Literal

import numpy as np
import pytest

from .audit import audit
from .model import Outcome, as_arrays
from .simpy_oracle import run
from .visits import Visit, lives_of, visits_of
from .worlds import Scenario, random_world

SEEDS = range(70)


@cache
def served(seed: int) -> tuple[Scenario, list[Outcome], dict[int, float]]:
    scenario = random_world(np.random.default_rng(seed), requests=120)
    return (scenario, *run(*scenario))


@cache
def laid_out(seed: int) -> list[Visit]:
    (world, arrivals, controls), outcomes, _ = served(seed)
    return visits_of(world, arrivals, outcomes, lives_of(world, controls))


def worlds_with_held(fate: Literal["served", "rejected", "failed"]) -> Iterator[tuple[int, list[Visit]]]:
    """Seeds of worlds in which requests were held and then met this fate there, and those visits."""
    for seed in SEEDS:
        held = [visit for visit in laid_out(seed) if visit.was_held]
        found = [visit for visit in held if ("served" if visit.life else visit.fate) == fate]
        if found:
            yield seed, found


@pytest.mark.parametrize("seed", SEEDS)
def test_keeps_every_rule(seed: int) -> None:
    (world, arrivals, controls), outcomes, _ = served(seed)
    assert audit(world, arrivals, controls, outcomes) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_drained_replicas_are_released_when_their_last_batch_ends(seed: int) -> None:
    (world, arrivals, controls), outcomes, released_s = served(seed)
    lives = lives_of(world, controls)
    last_end_s = {id(life): life.from_s for life in lives}
    for visit in visits_of(world, arrivals, outcomes, lives):
        if visit.life is not None:
            last_end_s[id(visit.life)] = max(last_end_s[id(visit.life)], visit.end_s)
    drained = [life for life in lives if life.drain_s < np.inf]
    expected = {life.replica.slot: max(life.drain_s, last_end_s[id(life)]) for life in drained}
    assert released_s == expected


@pytest.mark.parametrize("seed", range(0, 70, 7))
def test_what_comes_later_changes_nothing_before(seed: int) -> None:
    (world, arrivals, controls), outcomes, _ = served(seed)
    middle_s = arrivals[60].arrival_s
    early, _ = run(
        world,
        [arrival for arrival in arrivals if arrival.arrival_s <= middle_s],
        [control for control in controls if control.time_s <= middle_s],
        until_s=middle_s,
    )
    late = as_arrays(outcomes[: len(early)], positions=3)
    early_arrays = as_arrays(early, positions=3)
    known = early_arrays.start_s <= middle_s
    np.testing.assert_array_equal(early_arrays.end_s[known], late.end_s[known])
    # Conservation: over by then or in flight, and over exactly if the whole run says so.
    last_end_s = np.nanmax(np.where(late.status[:, None] == 1, late.end_s, -np.inf), axis=1)
    over_s = np.where(late.status == 1, last_end_s, late.done_s)
    np.testing.assert_array_equal(early_arrays.status, np.where(over_s <= middle_s, late.status, 0))


def test_same_seed_same_world() -> None:
    assert random_world(np.random.default_rng(5)) == random_world(np.random.default_rng(5))
    scenario = random_world(np.random.default_rng(5))
    assert repr(run(*scenario)) == repr(run(*scenario))


def test_worlds_meet_every_feature() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        (world, arrivals, controls), outcomes, released_s = served(seed)
        lives = lives_of(world, controls)
        visits = visits_of(world, arrivals, outcomes, lives)
        seen.update(outcome.status for outcome in outcomes)
        seen.update({f"services={world.services}", f"noise={world.noise}", f"hop={world.hop_delay_s > 0}"})
        seen.update(stage.router for stage in world.stages)
        seen.update(f"position={stage.position}" for stage in world.stages)
        seen.update(f"variant waits={variant.max_wait_s > 0}" for variant in world.variants)
        seen.update(control.action for control in controls if control.time_s > 0)
        seen["released"] += len(released_s)
        seen["slot used again"] += len(lives) - len({life.replica.slot for life in lives})
        seen["no items stated"] += sum(arrival.items == 0 for arrival in arrivals)
        arrived = Counter(arrival.arrival_s for arrival in arrivals)
        seen["arrivals at one instant"] += sum(count > 1 for count in arrived.values())
        pools = {(life.stage, life.replica.variant) for life in lives}
        seen["mixed pool"] += sum(n > 1 for n in Counter(stage for stage, _ in pools).values())
        ends = Counter((visit.end_s, id(visit.life)) for visit in visits if visit.life)
        tied = Counter(end_s for end_s, _ in ends)
        seen["replicas ending together"] += sum(count > 1 for count in tied.values())
        seen["end and arrival together"] += len(set(tied) & set(arrived))
        activated = {life.from_s for life in lives}
        for visit in visits:
            seen["held"] += visit.was_held
            if visit.was_held:
                seen[f"held, then {'served' if visit.life else visit.fate}"] += 1
                seen["passed on at an activation"] += visit.life is not None and visit.routed_s in activated
            if visit.life is None:
                seen[f"turned away at stage {min(1, world.stages[visit.stage].position)}"] += 1
                continue
            variant = world.variants[visit.life.replica.variant]
            sizes = variant.batch_sizes
            seen["batched"] += ends[visit.end_s, id(visit.life)] > 1
            seen["oversize"] += visit.units > variant.max_batch
            seen["extrapolated"] += visit.batch_units > sizes[-1] and len(sizes) > 1
            seen["proportional"] += visit.batch_units > sizes[-1] and len(sizes) == 1
            seen["interpolated"] += sizes[0] < visit.batch_units < sizes[-1] and visit.batch_units not in sizes
            seen["below the smallest size"] += visit.batch_units < sizes[0]
            seen["held up at the card"] += visit.ready_s - visit.reached_s > 2 * (
                visit.size_bytes / world.nic_bytes_per_s[visit.life.replica.node] + world.hop_delay_s
            )
    missing = [feature for feature, count in seen.items() if count == 0]
    assert missing == []
    expected = {"completed", "rejected", "failed", "activate", "drain", "services=3", "position=2"}
    expected |= {"noise=True", "noise=False", "hop=True", "hop=False", "least_outstanding", "round_robin"}
    expected |= {f"held, then {fate}" for fate in ("served", "rejected", "failed")}
    assert expected - set(seen) == set()


class TestTheAuditItself:
    """Each kind of breach, planted in a sound run, is found."""

    def broken(self, change: str) -> list[str]:
        (world, arrivals, controls), outcomes, _ = served(4)
        copies = [
            replace(
                outcome,
                stage_ready_s=list(outcome.stage_ready_s),
                stage_start_s=list(outcome.stage_start_s),
                stage_end_s=list(outcome.stage_end_s),
                stage_slot=list(outcome.stage_slot),
            )
            for outcome in outcomes
        ]
        victim = next(outcome for outcome in copies[20:] if outcome.status == "completed")
        if change == "status":
            victim.status = "in_flight"
        elif change == "slot":
            peers = [life for life in lives_of(world, controls) if life.replica.slot != victim.stage_slot[0]]
            victim.stage_slot[0] = peers[0].replica.slot
        elif change == "done":
            victim.done_s += 1e-6
        else:
            times: list[float] = getattr(victim, f"stage_{change}_s")
            times[0] += 1e-6
        return audit(world, arrivals, controls, copies)

    @pytest.mark.parametrize("change", ["status", "slot", "done", "ready", "start", "end"])
    def test_finds(self, change: str) -> None:
        assert self.broken(change) != []

    @pytest.mark.parametrize("change", [-1, 1])
    def test_finds_another_limit(self, change: int) -> None:
        found = 0
        for seed, held in islice(worlds_with_held("served"), 8):
            (world, arrivals, controls), outcomes, _ = served(seed)
            limits = {visit.stage: world.stages[visit.stage].max_outstanding + change for visit in held}
            if 0 in limits.values():
                continue
            stages = (
                replace(stage, max_outstanding=limits.get(k, stage.max_outstanding))
                for k, stage in enumerate(world.stages)
            )
            assert audit(replace(world, stages=tuple(stages)), arrivals, controls, outcomes) != []
            found += 1
        assert found >= 3

    @pytest.mark.parametrize("fate", ["failed", "rejected"])
    def test_finds_another_time_of_being_turned_away_while_held(self, fate: Literal["rejected", "failed"]) -> None:
        found = 0
        for seed, [victim, *_] in islice(worlds_with_held(fate), 4):
            (world, arrivals, controls), outcomes, _ = served(seed)
            moved = list(outcomes)
            moved[victim.request_id] = replace(outcomes[victim.request_id], done_s=victim.over_s + 1e-6)
            assert audit(world, arrivals, controls, moved) != []
            found += 1
        assert found >= 3
