"""Splits, classes, expiry, losses, retries and hedges, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .by_hand import (
    LONE,
    ONE_SECOND,
    STAGE,
    arriving,
    done,
    ends,
    off,
    on,
    one_stage,
    slots,
    starts,
    statuses,
    two_stages,
    user_with,
)
from .by_hand import serve as serve_world
from .controls import AnyControl, FailReplicas, SetSlowness
from .draws import uniform
from .finished import Finished
from .model import OracleArrival, OracleService, OracleVariant, Outcome
from .simpy_oracle import simulate


def serve(
    variant: OracleVariant, arrivals: list[OracleArrival], *controls: AnyControl, world: Any = None, **stage: Any
) -> list[Outcome]:
    """One stage with these changes."""
    return serve_world(one_stage(variant, stages=(replace(STAGE, **stage),), **(world or {})), arrivals, *controls)


def finish(variant: OracleVariant, arrivals: list[OracleArrival], *controls: AnyControl, **stage: Any) -> Finished:
    return simulate(one_stage(variant, stages=(replace(STAGE, **stage),)), arrivals, controls)


class TestSplit:
    @pytest.mark.parametrize(
        ("items", "sizes"), [(3, [3]), (4, [4]), (5, [3, 2]), (9, [3, 3, 3]), (10, [4, 3, 3]), (0, [4, 3, 3])]
    )
    def test_makes_tasks_of_nearly_the_same_size(self, items: int, sizes: list[int]) -> None:
        finished = finish(replace(ONE_SECOND, unit_items=True), arriving(1.0, items=items), on(0), split_items=4)
        assert [stay.task.items for stay in finished.stays] == sizes
        assert [stay.task.part for stay in finished.stays] == list(range(len(sizes)))

    def test_goes_on_when_the_last_task_ends(self) -> None:
        [outcome] = serve(LONE, arriving(1.0, items=3), on(0), on(1), split_items=1)
        assert (slots([outcome]), starts([outcome]), done([outcome])) == ([0], [2.0], [3.0])

    def test_each_task_brings_the_request_and_its_own_items(self) -> None:
        finished = finish(LONE, arriving(1.0, items=2, bytes_in=512.0), on(0), split_items=1, item_bytes=512.0)
        assert [stay.ready_s for stay in finished.stays] == [2.0, 3.0]

    def test_ends_with_the_first_task_refused(self) -> None:
        finished = finish(replace(LONE, queue_limit=2), arriving(1.0, items=9), on(0), split_items=1)
        assert (statuses(finished.outcomes), done(finished.outcomes)) == (["rejected"], [1.0])
        # Two were routed before, and are dropped when their turn comes.
        assert [(stay.fate, stay.over_s) for stay in finished.stays] == [("void", 1.0)] * 2

    def test_draws_anew_for_each_part(self) -> None:
        wide = replace(LONE, latency_s=((0.0, 8.0), (0.0, 8.0)))
        noisy = one_stage(wide, noise=True, noise_seed=9, stages=(replace(STAGE, split_items=1),))
        stays = simulate(noisy, arriving(1.0, items=2), [on(0), on(1)]).stays
        assert [stay.end_s - 1.0 for stay in stays] == [8 * uniform(9, 0, 0), 8 * uniform(9, 0, 0, part=1)]

    def test_of_a_later_stage_is_its_own(self) -> None:
        world = two_stages(LONE, LONE)
        world = replace(world, stages=(STAGE, replace(STAGE, position=1, split_items=2)))
        [outcome] = serve_world(world, arriving(1.0, items=4), on(0), on(1, 1), on(2, 1))
        assert outcome.stage_slot == [0, 2]
        assert outcome.done_s == 3.0


class TestClasses:
    PLAN = OracleService(class_shares=(0.5, 0.5))
    HIGH, LOW = user_with(2, 0.0, 0.5), user_with(2, 0.5, 1.0)

    def arriving(self, *pairs: tuple[float, int], items: int = 1) -> list[OracleArrival]:
        return [replace(arriving(time_s, items=items)[0], user=user) for time_s, user in pairs]

    def starts(self, variant: OracleVariant, arrivals: list[OracleArrival], **stage: Any) -> list[float]:
        return starts(serve(variant, arrivals, on(0), world={"service_plans": (self.PLAN,)}, **stage))

    def test_a_batch_takes_the_higher_class_first(self) -> None:
        arrivals = self.arriving((1.0, self.LOW), (1.25, self.LOW), (1.5, self.HIGH), (1.75, self.HIGH))
        assert self.starts(LONE, arrivals) == [1.0, 4.0, 2.0, 3.0]

    def test_the_router_holds_in_order_of_class(self) -> None:
        arrivals = self.arriving((1.0, self.LOW), (1.25, self.LOW), (1.5, self.HIGH), (1.75, self.LOW))
        assert self.starts(LONE, arrivals, max_outstanding=1) == [1.0, 3.0, 2.0, 4.0]

    def test_a_batch_stops_at_the_first_that_does_not_fit(self) -> None:
        # 3 units of the high class are taken; the other high one does not fit, though the low one would.
        variant = replace(ONE_SECOND, unit_items=True, max_batch=4)
        arrivals = self.arriving((1.0, self.LOW), (1.25, self.LOW), (1.5, self.HIGH), (1.75, self.HIGH))
        items = [1, 1, 3, 2]
        arrivals = [replace(arrival, items=n) for arrival, n in zip(arrivals, items, strict=True)]
        assert self.starts(variant, arrivals) == [1.0, 3.0, 2.0, 3.0]

    def test_the_start_is_by_the_head_of_the_queue_all_the_same(self) -> None:
        # The low one has waited half a second at 1.5; the high one, 1/8 s old, goes with it, or alone if one fits.
        arrivals = self.arriving((1.0, self.LOW), (1.375, self.HIGH))
        assert self.starts(replace(ONE_SECOND, max_wait_s=0.5), arrivals) == [1.5, 1.5]
        variant = replace(ONE_SECOND, unit_items=True, max_batch=8, max_wait_s=0.5)
        assert self.starts(variant, [replace(arrival, items=7) for arrival in arrivals]) == [2.375, 1.375]


class TestExpiry:
    def test_rejects_at_the_batcher_and_takes_the_next(self) -> None:
        outcomes = serve(LONE, arriving(1.0, 1.25, 1.5), on(0), expire_s=0.625)
        assert statuses(outcomes) == ["completed", "rejected", "completed"]
        assert done(outcomes) == [2.0, 2.0, 3.0]

    def test_serves_what_is_due_to_the_instant(self) -> None:
        assert statuses(serve(LONE, arriving(1.0, 1.0), on(0), expire_s=1.0)) == ["completed"] * 2

    def test_rejects_on_reaching_a_stage(self) -> None:
        world = two_stages(LONE, LONE)
        world = replace(world, stages=(STAGE, replace(STAGE, position=1, expire_s=0.75)))
        [outcome] = serve_world(world, arriving(1.0), on(0), on(1, 1))
        assert (outcome.status, outcome.done_s, outcome.stage_slot) == ("rejected", 2.0, [0, -1])

    def test_of_all_that_are_ready_makes_no_batch(self) -> None:
        # At 2 the three that wait are dropped; the one that comes at 2.5 starts at once.
        finished = finish(ONE_SECOND, arriving(1.0, 1.125, 1.125, 1.125, 2.5), on(0), expire_s=0.75)
        assert statuses(finished.outcomes) == ["completed", "rejected", "rejected", "rejected", "completed"]
        assert finished.outcomes[-1].stage_start_s == [2.5]
        assert finished.counts["expired", 0] == 3

    def test_makes_room_for_what_is_held(self) -> None:
        # At 2 the second is late: dropped, and its room taken by the third, which is late as well.
        variant = replace(LONE, max_wait_s=0.5)
        outcomes = serve(variant, arriving(1.0, 1.0, 1.25, 2.0), on(0), expire_s=0.5, max_outstanding=2)
        assert statuses(outcomes) == ["completed", "rejected", "rejected", "completed"]
        assert done(outcomes)[1:] == [2.0, 2.0, 3.0]

    def test_of_one_task_makes_the_others_of_its_request_void(self) -> None:
        arrivals = [*arriving(1.0), *arriving(1.25, items=2)]
        finished = finish(LONE, arrivals, on(0), on(1, speed=0.5), split_items=1, expire_s=0.5)
        # Parts go to slots 1 and 0; that at slot 0 is late at 2. The other has begun, and ends for nothing.
        assert [(stay.replica.slot, stay.fate) for stay in finished.stays] == [
            (0, "completed"),
            (1, "void"),
            (0, "expired"),
        ]


class TestFailure:
    def test_fails_what_a_replica_holds(self) -> None:
        outcomes = serve(LONE, arriving(1.0, 1.25), on(0), FailReplicas(1.5, (0,)))
        assert (statuses(outcomes), done(outcomes), slots(outcomes)) == (["failed"] * 2, [1.5] * 2, [-1, -1])

    def test_is_made_good_by_a_retry(self) -> None:
        controls = [on(0), on(1, at_s=1.25), FailReplicas(1.5, (0,))]
        finished = finish(LONE, arriving(1.0, 1.0), *controls, retries=1, retry_delay_s=0.25)
        assert starts(finished.outcomes) == [1.75, 2.75]
        assert finished.counts["retried", 0] == finished.counts["lost", 0] == 2

    def test_of_a_batch_comes_before_that_of_the_queue(self) -> None:
        # Of two classes the high one is in the batch though it came last.
        plan = OracleService(class_shares=(0.5, 0.5))
        users = (TestClasses.LOW, TestClasses.LOW, TestClasses.HIGH)
        arrivals = [replace(a, user=u) for a, u in zip(arriving(1.0, 1.25, 1.5), users)]
        controls = [on(0), FailReplicas(2.5, (0,)), on(1, at_s=2.625)]
        outcomes = serve(LONE, arrivals, *controls, world={"service_plans": (plan,)}, retries=1, retry_delay_s=0.25)
        assert starts(outcomes) == [1.0, 3.75, 2.75]

    def test_after_the_completion_of_its_instant_loses_nothing(self) -> None:
        assert statuses(serve(LONE, arriving(1.0), on(0), FailReplicas(2.0, (0,)))) == ["completed"]

    def test_of_a_draining_replica(self) -> None:
        finished = finish(LONE, arriving(1.0), on(0), off(0, 1.25), FailReplicas(1.5, (0,)))
        assert statuses(finished.outcomes) == ["failed"]
        assert finished.released_s == {}

    def test_of_two_together_lets_no_task_go_from_one_to_the_other(self) -> None:
        controls = [on(0), on(1), FailReplicas(1.5, (0, 1))]
        finished = finish(LONE, arriving(1.0, 1.0, 1.25), *controls, max_outstanding=1)
        assert statuses(finished.outcomes) == ["failed"] * 3
        assert len(finished.stays) == 2


class TestRetry:
    def test_waits_for_a_replica(self) -> None:
        outcomes = serve(LONE, arriving(1.0), on(0, at_s=1.75), retries=2, retry_delay_s=0.5)
        assert starts(outcomes) == [2.0]

    def test_ends_after_its_tries(self) -> None:
        finished = finish(LONE, arriving(1.0), retries=3, retry_delay_s=0.5)
        assert (statuses(finished.outcomes), done(finished.outcomes)) == (["failed"], [2.5])
        assert (finished.counts["lost", 0], finished.counts["retried", 0]) == (4, 3)

    def test_a_full_queue_is_none(self) -> None:
        outcomes = serve(replace(LONE, queue_limit=1), arriving(1.0, 1.0, 1.0), on(0), retries=9)
        assert statuses(outcomes)[2] == "rejected"

    def test_comes_before_arrivals_of_its_instant(self) -> None:
        outcomes = serve(LONE, arriving(1.0, 1.5), on(0, at_s=1.25), retries=1, retry_delay_s=0.5)
        assert starts(outcomes) == [1.5, 2.5]

    def test_draws_anew(self) -> None:
        wide = replace(LONE, latency_s=((0.0, 8.0), (0.0, 8.0)))
        noisy = one_stage(wide, noise=True, noise_seed=9, stages=(replace(STAGE, retries=1, retry_delay_s=1.0),))
        [outcome] = serve_world(noisy, arriving(1.0), on(0, at_s=1.5))
        assert outcome.stage_end_s == [2.0 + 8 * uniform(9, 0, 0, attempt=1)]

    def test_is_dropped_when_its_request_has_ended_meanwhile(self) -> None:
        # The third's first part is lost at 1.75 and due at 2.75; its second, at the other replica, is late at 2.625.
        arrivals = arriving(0.5, 0.625, 1.0, items=[1, 1, 2])
        controls = [on(0), on(1, speed=0.5), FailReplicas(1.75, (0,))]
        finished = finish(LONE, arrivals, *controls, retries=1, retry_delay_s=1.0, split_items=1, expire_s=0.75)
        assert [stay.fate for stay in finished.stays] == ["completed", "completed", "lost", "expired"]
        assert (finished.outcomes[2].status, finished.outcomes[2].done_s) == ("rejected", 2.625)
        assert (finished.counts["lost", 0], finished.counts["retried", 0]) == (1, 1)
        assert len(finished.stays) == 4


class TestHedge:
    def test_is_won_by_the_faster(self) -> None:
        finished = finish(LONE, arriving(1.0), on(0, speed=0.125), on(1), hedge_after_s=0.5)
        assert (slots(finished.outcomes), starts(finished.outcomes), ends(finished.outcomes)) == ([1], [1.5], [2.5])
        assert [(stay.fate, stay.over_s) for stay in finished.stays] == [("void", 9.0), ("completed", 2.5)]
        assert (finished.counts["hedged", 0], finished.counts["hedges_won", 0]) == (1, 1)

    def test_is_lost_to_the_first(self) -> None:
        finished = finish(LONE, arriving(1.0), on(0), on(1), hedge_after_s=0.5)
        assert (slots(finished.outcomes), ends(finished.outcomes)) == ([0], [2.0])
        assert (finished.counts["hedged", 0], finished.counts["hedges_won", 0]) == (1, 0)

    def test_counts_from_where_a_replica_took_the_task(self) -> None:
        # The second is held until 2; hedged at 2.5, but nobody else is there.
        finished = finish(LONE, arriving(1.0, 1.0), on(0), on(1, at_s=2.5), hedge_after_s=0.5, max_outstanding=1)
        assert finished.counts["hedged", 0] == 0
        finished = finish(LONE, arriving(1.0, 1.0), on(0), on(1, at_s=2.25), hedge_after_s=0.5, max_outstanding=1)
        assert finished.counts["hedged", 0] == 1

    def test_comes_after_the_completion_of_its_instant(self) -> None:
        assert finish(LONE, arriving(1.0), on(0), on(1), hedge_after_s=1.0).counts["hedged", 0] == 0

    def test_needs_room_elsewhere(self) -> None:
        variant = replace(LONE, queue_limit=1)
        finished = finish(variant, arriving(*[1.0] * 4), on(0), on(1), hedge_after_s=0.5)
        assert finished.counts["hedged", 0] == 0

    def test_void_twin_keeps_its_place_until_it_is_met(self) -> None:
        # The twin waits at slot 1 behind a long batch; its original ends at 2; slot 1 has two outstanding until 9.
        finished = finish(LONE, arriving(0.75, 1.0), on(1, speed=0.125), on(0, at_s=0.875), hedge_after_s=0.5)
        assert [stay.replica.slot for stay in finished.stays] == [1, 0, 0, 1]
        assert [stay.fate for stay in finished.stays] == ["void", "completed", "completed", "void"]
        assert finished.stays[3].over_s == 8.75

    def test_survives_the_loss_of_the_first(self) -> None:
        controls = [on(0), on(1), FailReplicas(1.75, (0,))]
        finished = finish(LONE, arriving(1.0), *controls, hedge_after_s=0.5)
        assert (slots(finished.outcomes), ends(finished.outcomes)) == ([1], [2.5])

    def test_with_both_lost_the_request_fails_though_it_had_retries(self) -> None:
        controls = [on(0), on(1), FailReplicas(1.75, (0,)), FailReplicas(2.0, (1,))]
        outcomes = serve(LONE, arriving(1.0), *controls, hedge_after_s=0.5, retries=3)
        assert (statuses(outcomes), done(outcomes)) == (["failed"], [2.0])

    def test_with_the_twin_lost_first_the_task_is_tried_again(self) -> None:
        controls = [on(0), on(1), FailReplicas(1.75, (1,)), FailReplicas(1.875, (0,)), on(0, at_s=2.0)]
        finished = finish(LONE, arriving(1.0), *controls, hedge_after_s=0.5, retries=1, retry_delay_s=0.25)
        assert starts(finished.outcomes) == [2.125]
        assert [stay.attempt for stay in finished.stays] == [0, 32, 1]

    def test_draws_as_a_twin(self) -> None:
        wide = replace(LONE, latency_s=((1.0, 8.0), (1.0, 8.0)))
        noisy = one_stage(wide, noise=True, noise_seed=9, stages=(replace(STAGE, hedge_after_s=0.25),))
        stays = simulate(noisy, arriving(1.0), [on(0), on(1)]).stays
        assert stays[1].end_s == 1.25 + 1.0 + 7 * uniform(9, 0, 0, attempt=32)


class TestStragglers:
    def test_are_slow_for_batches_that_start_later(self) -> None:
        outcomes = serve(LONE, arriving(1.0, 1.25, 1.5), on(0), SetSlowness(1.5, 0, 2.0), SetSlowness(3.0, 0, 0.5))
        assert ends(outcomes) == [2.0, 4.0, 4.5]
