"""Holding at the router, rule 3 of docs/request-path.md: by hand, as an exact queue, and by metamorphosis."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from . import theory
from .by_hand import (
    LONE,
    ONE_SECOND,
    STAGE,
    arriving,
    ends,
    off,
    on,
    one_stage,
    serve,
    slots,
    starts,
    statuses,
    two_stages,
)
from .model import OracleArrival, OracleVariant, OracleWorld, Outcome
from .simpy_oracle import run
from .worlds import random_world

NAN: Any = pytest.approx(math.nan, nan_ok=True)


def holding(limit: int, variant: OracleVariant = LONE, **changes: Any) -> OracleWorld:
    """One stage that holds what would make a replica exceed `limit`."""
    return one_stage(variant, stages=(replace(STAGE, max_outstanding=limit),), **changes)


class TestHeldRequests:
    def test_are_passed_on_in_order_of_coming(self) -> None:
        outcomes = serve(holding(1), arriving(1.0, 1.25, 1.5, 1.75), on(0))
        assert starts(outcomes) == [1.0, 2.0, 3.0, 4.0]
        assert [outcome.stage_ready_s for outcome in outcomes] == [[1.0], [2.0], [3.0], [4.0]]

    def test_go_to_the_replica_that_is_free_first(self) -> None:
        arrivals, controls = arriving(1.0, 1.0, 1.25, 1.5), [on(0, speed=0.25), on(1)]
        held = serve(holding(1), arrivals, *controls)
        assert slots(held) == [0, 1, 1, 1]
        assert starts(held) == [1.0, 1.0, 2.0, 3.0]
        assert slots(serve(one_stage(LONE), arrivals, *controls)) == [0, 1, 0, 1]

    def test_are_not_overtaken_by_an_arrival_at_the_completion(self) -> None:
        outcomes = serve(holding(1), arriving(1.0, 1.5, 2.0, 2.0, 2.5), on(0))
        assert starts(outcomes) == [1.0, 2.0, 3.0, 4.0, 5.0]

    def test_arrivals_of_one_instant_are_held_in_their_order(self) -> None:
        outcomes = serve(holding(1), arriving(1.0, 1.0, 1.0, 1.0), on(4), on(2))
        assert slots(outcomes) == [2, 4, 2, 4]
        assert starts(outcomes) == [1.0, 1.0, 2.0, 2.0]

    def test_begin_their_transfer_when_passed_on(self) -> None:
        outcomes = serve(holding(1, hop_delay_s=0.25), arriving(1.0, 1.25, bytes_in=1024.0), on(0))
        # The first is ready at 2.25 and ends at 3.25; the second is in transfer from then on.
        assert [outcome.stage_ready_s for outcome in outcomes] == [[2.25], [4.5]]
        assert outcomes[1].done_s == 5.75

    def test_start_with_what_was_queued_if_ready_by_then(self) -> None:
        world = holding(2, replace(ONE_SECOND, max_batch=2))
        outcomes = serve(world, arriving(1.0, 1.25, 1.5, 1.5), on(0))
        # At 2 the second is queued and the third passed on: one batch. The fourth waits for its end.
        assert starts(outcomes) == [1.0, 2.0, 2.0, 3.0]

    def test_come_from_a_stage_before_in_the_order_of_its_batch(self) -> None:
        stages = (STAGE, replace(STAGE, position=1, max_outstanding=1))
        world = replace(two_stages(replace(ONE_SECOND, max_wait_s=0.5), LONE), stages=stages)
        outcomes = serve(world, arriving(1.0, 1.125, 1.25), on(0), on(1, 1))
        assert ends(outcomes) == [2.5, 2.5, 2.5]
        assert starts(outcomes, 1) == [2.5, 3.5, 4.5]

    def test_wait_at_their_own_stage_only(self) -> None:
        stages = (replace(STAGE, max_outstanding=1), replace(STAGE, service=1, max_outstanding=1))
        world = one_stage(LONE, services=2, stages=stages, variants=(LONE, replace(LONE, stage=1)))
        arrivals = [OracleArrival(time_s, service, 1, 0.0) for time_s, service in [(1, 0), (1, 0), (1.5, 1)]]
        assert starts(serve(world, arrivals, on(0, 0), on(1, 1))) == [1.0, 2.0, 1.5]

    def test_show_nothing_of_the_stage_until_passed_on(self) -> None:
        [_, held] = run(holding(1), arriving(1.0, 1.25), [on(0)], until_s=1.75)[0]
        assert held == Outcome("in_flight", [NAN], [NAN], [NAN], [-1], [0], NAN)
        [_, passed_on] = run(holding(1), arriving(1.0, 1.25), [on(0)], until_s=2.0)[0]
        assert passed_on == Outcome("in_flight", [2.0], [2.0], [3.0], [0], [1], NAN)


class TestCompletion:
    def test_makes_room_for_as_many_as_its_batch_had(self) -> None:
        world = holding(3, replace(ONE_SECOND, max_wait_s=0.5))
        arrivals = arriving(1.0, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75)
        # Three start together at 1.5; at 2.5 the next three are passed on and wait for a fourth until 3.
        assert starts(serve(world, arrivals, on(0))) == [1.5, 1.5, 1.5, 3.0, 3.0, 3.0, 4.5]

    def test_passes_on_before_its_requests_go_on(self) -> None:
        stages = (replace(STAGE, max_outstanding=1), replace(STAGE, position=1))
        world = replace(two_stages(LONE, LONE), stages=stages)
        outcomes = serve(world, arriving(1.0, 1.25, bytes_in=1024.0), on(0), on(1, 1))
        # Both need the card at 3: the held one has it until 4, the completed one after that.
        assert outcomes[1].stage_ready_s[0] == 4.0
        assert outcomes[0].stage_ready_s == [2.0, 5.0]

    def test_of_a_draining_replica_makes_no_room(self) -> None:
        outcomes = serve(holding(1), arriving(1.0, 1.0, 1.25), on(0), on(1, speed=0.25), off(0, 1.5))
        assert ends(outcomes)[:2] == [2.0, 5.0]
        assert (slots(outcomes)[2], starts(outcomes)[2]) == (1, 5.0)

    def test_of_two_replicas_at_once_serves_the_lower_slot_first(self) -> None:
        world = holding(2, replace(ONE_SECOND, max_batch=2, max_wait_s=0.5))
        outcomes = serve(world, arriving(*[1.0] * 4, 1.25, 1.25, 1.25), on(0), on(1))
        # Both batches of two end at 2; slot 0 completes first and takes two, slot 1 the third.
        assert ends(outcomes)[:4] == [2.0] * 4
        assert slots(outcomes) == [0, 1, 0, 1, 0, 0, 1]


class TestPool:
    def test_new_replica_takes_the_oldest_up_to_the_limit(self) -> None:
        controls = [on(0, speed=0.125), on(3, at_s=2.0)]
        outcomes = serve(holding(2), arriving(1.0, 1.0, 1.25, 1.5, 1.75), *controls)
        assert slots(outcomes) == [0, 0, 3, 3, 3]
        assert [outcome.stage_ready_s[0] for outcome in outcomes[2:]] == [2.0, 2.0, 3.0]
        assert starts(outcomes)[2:] == [2.0, 3.0, 4.0]

    def test_that_runs_empty_fails_what_is_held(self) -> None:
        outcomes, released_s = run(holding(1), arriving(1.0, 1.25, 1.5, 2.5), [on(0), off(0, 1.75)])
        failed = Outcome("failed", [NAN], [NAN], [NAN], [-1], [0], 1.75)
        assert outcomes[0].done_s == 2.0
        assert outcomes[1:] == [failed, failed, replace(failed, done_s=2.5)]
        assert released_s == {0: 2.0}

    def test_that_shrinks_keeps_what_is_held(self) -> None:
        outcomes = serve(holding(1), arriving(1.0, 1.0, 1.25, 1.5), on(0), on(1), off(1, 1.75))
        assert statuses(outcomes) == ["completed"] * 4
        assert slots(outcomes) == [0, 1, 0, 0]

    def test_serves_what_is_passed_on_at_the_instant_of_a_drain(self) -> None:
        outcomes, released_s = run(holding(1), arriving(1.0, 1.25, 1.5), [on(0), off(0, 2.0)])
        assert ends(outcomes)[:2] == [2.0, 3.0]
        assert (outcomes[2].status, outcomes[2].done_s) == ("failed", 2.0)
        assert released_s == {0: 3.0}

    def test_replaced_at_one_instant_goes_by_the_order_of_the_controls(self) -> None:
        arrivals = arriving(1.0, 1.25)
        joined_first = serve(holding(1), arrivals, on(0), on(1, at_s=1.5), off(0, 1.5))
        assert (slots(joined_first), starts(joined_first)) == ([0, 1], [1.0, 1.5])
        left_first = serve(holding(1), arrivals, on(0), off(0, 1.5), on(1, at_s=1.5))
        assert (left_first[1].status, left_first[1].done_s) == ("failed", 1.5)


class TestQueueLimit:
    def test_as_high_as_the_limit_never_rejects(self) -> None:
        outcomes = serve(holding(2, replace(LONE, queue_limit=2)), arriving(*[1.0] * 9), on(0))
        assert statuses(outcomes) == ["completed"] * 9

    def test_rejects_below_the_limit_rather_than_holding(self) -> None:
        outcomes = serve(holding(3, replace(LONE, queue_limit=1)), arriving(1.0, 1.25, 1.5), on(0))
        assert statuses(outcomes) == ["completed", "completed", "rejected"]
        assert outcomes[2].done_s == 1.5

    def test_rejects_held_requests_when_they_are_passed_on(self) -> None:
        # At 2 the first completes; the second still waits when the router passes on, and starts only then.
        world = holding(2, replace(LONE, queue_limit=1))
        outcomes = serve(world, arriving(1.0, 1.25, 1.5, 1.75, 2.0), on(0))
        assert statuses(outcomes) == ["completed", "completed", "rejected", "rejected", "completed"]
        assert [outcome.done_s for outcome in outcomes] == [2.0, 3.0, 2.0, 2.0, 4.0]


class TestAsAQueue:
    def test_limit_of_round_robin_is_refused(self) -> None:
        world = one_stage(LONE, stages=(replace(STAGE, router="round_robin", max_outstanding=1),))
        with pytest.raises(ValueError, match="max_outstanding"):
            run(world, [], [])

    @settings(deadline=None, max_examples=80)
    @given(
        st.lists(st.tuples(st.integers(0, 12), st.integers(1, 60)), min_size=1, max_size=50),
        st.integers(1, 4),
    )
    def test_one_request_a_replica_is_first_come_first_served(self, pairs: list[tuple[int, int]], servers: int) -> None:
        # Proportional to items, one sixteenth of a second each: any service times, on a lattice full of ties.
        variant = replace(LONE, unit_items=True, batch_sizes=(1,), latency_s=((1 / 16,) * 2,), mean_s=(1 / 16,))
        world = one_stage(variant, stages=(replace(STAGE, candidates=60, max_outstanding=1),))
        arrival_s = 1.0 + np.cumsum([gap for gap, _ in pairs]) / 16
        items = [n for _, n in pairs]
        outcomes = serve(world, arriving(*arrival_s.tolist(), items=items), *map(on, range(servers)))
        waits = theory.kiefer_wolfowitz_waits_s(arrival_s, np.array(items) / 16, servers)
        np.testing.assert_array_equal(starts(outcomes), arrival_s + waits)

    @pytest.mark.parametrize("seed", range(100, 106))
    def test_limit_beyond_reach_changes_nothing(self, seed: int) -> None:
        world, arrivals, controls = random_world(np.random.default_rng(seed), requests=80, reuse_slots=False)

        def limited(limit: int) -> OracleWorld:
            stages = (
                replace(stage, max_outstanding=limit if stage.router == "least_outstanding" else 0)
                for stage in world.stages
            )
            return replace(world, stages=tuple(stages))

        plain, beyond = (run(limited(limit), arrivals, controls) for limit in (0, 81))
        assert repr(plain) == repr(beyond)
