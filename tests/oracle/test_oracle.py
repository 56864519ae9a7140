"""Each rule of docs/request-path.md, worked by hand. All times are dyadic, so every comparison is exact."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

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
from .model import OracleArrival, Outcome
from .service_time import batch_latency_s, mix, quantile, uniform
from .simpy_oracle import run


class TestOneRequest:
    def test_passes_card_hop_batch_and_hop(self) -> None:
        world = one_stage(ONE_SECOND, stages=(replace(STAGE, item_bytes=128.0),), hop_delay_s=0.25)
        [outcome] = serve(world, arriving(2.0, items=4, bytes_in=512.0), on(0))
        assert outcome == Outcome("completed", [3.25], [3.25], [4.25], [0], [1], 4.5)

    @pytest.mark.parametrize(("items", "carried"), [(0, 10), (3, 3), (99, 10)])
    def test_carries_the_items_stated_up_to_the_candidates(self, items: int, carried: int) -> None:
        world = one_stage(
            replace(ONE_SECOND, unit_items=True), stages=(replace(STAGE, item_bytes=1024.0),), hop_delay_s=0.0
        )
        [outcome] = serve(world, arriving(1.0, items=items), on(0))
        assert outcome.stage_ready_s == [1.0 + carried]
        assert outcome.stage_batch_units == [carried]

    def test_each_stage_narrows_for_itself(self) -> None:
        world = replace(
            two_stages(LONE, LONE, hop_delay_s=0.25),
            stages=(
                replace(STAGE, candidates=8, item_bytes=128.0),
                replace(STAGE, position=1, candidates=2, item_bytes=512.0),
            ),
        )
        [outcome] = serve(world, arriving(1.0, items=0), on(0), on(1, 1))
        assert outcome.stage_ready_s == [2.25, 4.5]
        assert outcome.stage_end_s == [3.25, 5.5]
        assert outcome.done_s == 5.75

    def test_of_another_service_goes_its_own_way(self) -> None:
        stages = (STAGE, replace(STAGE, service=1))
        world = one_stage(LONE, services=2, stages=stages, variants=(LONE, replace(LONE, stage=1)))
        arrivals = [OracleArrival(1.0, 1, 1, 0.0), OracleArrival(1.0, 0, 1, 0.0)]
        assert slots(serve(world, arrivals, on(0, 0), on(1, 1))) == [1, 0]


class TestBatcher:
    def test_waits_for_more_as_long_as_the_head_may(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.5))
        assert starts(serve(world, arriving(1.0, 1.25, 1.75), on(0))) == [1.5, 1.5, 2.5]

    def test_starts_at_once_when_full(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.5, max_batch=2))
        assert starts(serve(world, arriving(1.0, 1.25, 1.3125), on(0))) == [1.25, 1.25, 2.25]

    def test_counts_the_wait_from_ready_not_from_arrival(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.5), hop_delay_s=0.25)
        assert starts(serve(world, arriving(1.0), on(0))) == [1.75]

    def test_takes_what_came_while_it_was_busy(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.25, max_batch=2))
        assert starts(serve(world, arriving(1.0, 1.5, 1.75, 2.0), on(0))) == [1.25, 2.25, 2.25, 3.25]

    def test_does_not_wait_again_when_the_head_waited_while_it_was_busy(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.5))
        assert starts(serve(world, arriving(1.0, 1.5625), on(0))) == [1.5, 2.5]

    def test_ends_the_wait_after_it_got_free(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=1.0))
        assert starts(serve(world, arriving(1.0, 2.75), on(0))) == [2.0, 3.75]

    def test_is_full_by_items_though_the_last_does_not_fit(self) -> None:
        world = one_stage(replace(ONE_SECOND, unit_items=True, max_batch=5, max_wait_s=0.5))
        outcomes = serve(world, arriving(1.0, 1.25, items=3), on(0))
        assert starts(outcomes) == [1.25, 2.25]
        assert [outcome.stage_batch_units for outcome in outcomes] == [[3], [3]]

    def test_starts_one_request_over_the_cap_alone_and_at_once(self) -> None:
        world = one_stage(replace(ONE_SECOND, unit_items=True, max_batch=5, max_wait_s=0.5))
        outcomes = serve(world, arriving(1.0, 1.0, items=[9, 1]), on(0))
        assert starts(outcomes) == [1.0, 2.0]
        assert outcomes[0].stage_batch_units == [9]

    def test_never_passes_over_a_request_that_does_not_fit(self) -> None:
        world = one_stage(replace(ONE_SECOND, unit_items=True, max_batch=5))
        outcomes = serve(world, arriving(1.0, 1.25, 1.5, 1.75, items=[5, 3, 4, 1]), on(0))
        assert starts(outcomes) == [1.0, 2.0, 3.0, 3.0]

    def test_waits_for_ever_if_it_may(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=math.inf, max_batch=2))
        outcomes = serve(world, arriving(1.0, 9.0, 10.0), on(0))
        assert starts(outcomes)[:2] == [9.0, 9.0]
        assert statuses(outcomes) == ["completed", "completed", "in_flight"]

    def test_knows_a_request_only_when_it_is_ready(self) -> None:
        # Both are routed at 1; the second's transfer ends at 3, past the start of the first.
        world = one_stage(replace(ONE_SECOND, max_batch=2, max_wait_s=0.5))
        assert starts(serve(world, arriving(1.0, 1.0, bytes_in=1024.0), on(0))) == [2.5, 3.5]


class TestNetwork:
    def test_card_serves_first_come_first_served_over_its_replicas(self) -> None:
        world = one_stage(LONE, router="round_robin", hop_delay_s=0.5)
        outcomes = serve(world, arriving(1.0, 1.25, 4.0, bytes_in=1024.0), on(0), on(1))
        assert [outcome.stage_ready_s for outcome in outcomes] == [[2.5], [3.5], [5.5]]

    def test_cards_of_two_nodes_do_not_meet(self) -> None:
        world = one_stage(LONE, router="round_robin", nic_bytes_per_s=(1024.0, 2048.0))
        outcomes = serve(world, arriving(1.0, 1.0, bytes_in=1024.0), on(0), on(1, node=1))
        assert [outcome.stage_ready_s for outcome in outcomes] == [[2.0], [1.5]]

    def test_card_is_shared_by_the_stages(self) -> None:
        world = two_stages(LONE, LONE)
        outcomes = serve(world, arriving(1.0, 2.75, bytes_in=1024.0), on(0), on(1, 1))
        # At 3 the first reaches stage 1, behind the second's transfer from 2.75 to 3.75.
        assert outcomes[0].stage_ready_s == [2.0, 4.75]


class TestRouters:
    def test_least_outstanding_prefers_the_lowest_slot(self) -> None:
        outcomes = serve(one_stage(LONE), arriving(1.0, 1.25, 1.5, 1.75), on(7), on(2), on(5))
        assert slots(outcomes) == [2, 5, 7, 2]

    def test_least_outstanding_counts_transfer_queue_and_batch(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_batch=2))
        # Slot 0 has one in transfer at 1.5 and one in a batch at 2.25.
        outcomes = serve(world, arriving(1.0, 1.5, 2.25, bytes_in=1024.0), on(0), on(1))
        assert slots(outcomes) == [0, 1, 0]

    def test_least_outstanding_sees_what_completed_at_the_same_instant(self) -> None:
        assert slots(serve(one_stage(LONE), arriving(1.0, 1.5, 2.0), on(0), on(1))) == [0, 1, 0]

    def test_round_robin_takes_its_members_by_slot(self) -> None:
        world = one_stage(LONE, router="round_robin")
        assert slots(serve(world, arriving(1.0, 1.0, 1.0, 1.0), on(7), on(2), on(5))) == [2, 5, 7, 2]

    def test_round_robin_goes_on_counting_when_the_pool_changes(self) -> None:
        world = one_stage(LONE, router="round_robin")
        arrivals = arriving(1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0)
        controls = [on(0), on(1), on(2, at_s=1.5), off(0, 2.5)]
        # Counter 0, 1, 2 over (0, 1); 3, 4 over (0, 1, 2); 5, 6 over (1, 2).
        assert slots(serve(world, arrivals, *controls)) == [0, 1, 0, 0, 1, 2, 1]

    def test_round_robin_counts_the_rejected_but_not_the_failed(self) -> None:
        world = one_stage(replace(LONE, queue_limit=1), router="round_robin")
        arrivals = arriving(0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
        outcomes = serve(world, arrivals, on(0), on(1))
        assert statuses(outcomes) == ["failed", *["completed"] * 4, "rejected", "rejected"]
        assert slots(outcomes) == [-1, 0, 1, 0, 1, -1, -1]
        later = serve(world, [*arrivals[:6], *arriving(9.0)], on(0), on(1))
        assert slots(later)[-1] == 1  # five were routed before it, the rejected one too


class TestQueueLimit:
    def test_leaves_the_batch_out(self) -> None:
        outcomes = serve(one_stage(replace(LONE, queue_limit=1)), arriving(1.0, 1.25, 1.5), on(0))
        assert statuses(outcomes) == ["completed", "completed", "rejected"]
        assert outcomes[2].done_s == 1.5
        assert outcomes[2].stage_slot == [-1]

    def test_counts_requests_in_transfer(self) -> None:
        outcomes = serve(one_stage(replace(LONE, queue_limit=2)), arriving(1.0, 1.0, 1.0, bytes_in=1024.0), on(0))
        assert statuses(outcomes) == ["completed", "completed", "rejected"]

    def test_is_of_the_chosen_replica(self) -> None:
        world = one_stage(replace(LONE, queue_limit=1))
        assert statuses(serve(world, arriving(1.0, 1.0, 1.0, 1.0, 1.0), on(0), on(1))) == [
            *["completed"] * 4,
            "rejected",
        ]

    def test_sees_a_batch_that_starts_at_the_same_instant(self) -> None:
        outcomes = serve(one_stage(replace(LONE, queue_limit=1)), arriving(1.0, 1.25, 2.0), on(0))
        assert statuses(outcomes) == ["completed"] * 3
        assert starts(outcomes) == [1.0, 2.0, 3.0]

    def test_a_later_stage_rejects_too(self) -> None:
        world = two_stages(ONE_SECOND, replace(LONE, queue_limit=1))
        outcomes = serve(world, arriving(0.5, 1.0, 1.25), on(0), on(1, 1))
        # The second and third end stage 0 together at 2.5, when stage 1 starts the first's successor.
        assert ends(outcomes) == [1.5, 2.5, 2.5]
        assert statuses(outcomes) == ["completed", "completed", "rejected"]
        assert outcomes[2].done_s == 2.5
        assert outcomes[2].stage_slot == [0, -1]


class TestControlPlane:
    def test_comes_after_the_requests_of_its_instant(self) -> None:
        outcomes = serve(one_stage(LONE), arriving(1.0, 1.0, 1.5), on(0, at_s=1.0))
        assert statuses(outcomes) == ["failed", "failed", "completed"]
        assert outcomes[0].done_s == 1.0

    def test_drained_replica_serves_what_it_holds(self) -> None:
        world = one_stage(replace(LONE, max_wait_s=0.0))
        arrivals = arriving(1.0, 1.25, 1.5, 3.0)
        outcomes, released_s = run(world, arrivals, [on(0), off(0, 1.5)])
        assert ends(outcomes)[:3] == [2.0, 3.0, 4.0]
        assert statuses(outcomes) == ["completed", "completed", "completed", "failed"]
        assert released_s == {0: 4.0}

    def test_drain_waits_for_requests_in_transfer_and_for_the_batchers_wait(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.5), hop_delay_s=0.25)
        _, released_s = run(world, arriving(1.0, bytes_in=1024.0), [on(0), off(0, 1.0)])
        assert released_s == {0: 3.75}

    def test_idle_replica_is_released_at_once(self) -> None:
        world = one_stage(LONE)
        assert run(world, [], [on(0), off(0, 1.5)])[1] == {0: 1.5}
        assert run(world, arriving(0.5), [on(0), off(0, 1.5)])[1] == {0: 1.5}

    def test_completion_precedes_a_drain_of_its_instant(self) -> None:
        _, released_s = run(one_stage(LONE), arriving(1.0), [on(0), off(0, 2.0)])
        assert released_s == {0: 2.0}

    def test_slot_serves_again_after_its_release(self) -> None:
        world = one_stage(LONE)
        controls = [on(0), off(0, 1.0), on(0, at_s=2.0, speed=2.0)]
        assert ends(run(world, arriving(1.0, 3.0), controls)[0]) == [2.0, 3.5]

    def test_slot_cannot_be_taken_before_its_release(self) -> None:
        controls = [on(0), off(0, 1.0), on(0, at_s=1.5)]
        with pytest.raises(ValueError, match="slot 0"):
            run(one_stage(LONE), arriving(1.0), controls)


class TestTies:
    def test_arrivals_of_one_instant_keep_their_order_and_do_not_wait_for_each_other(self) -> None:
        # The first is ready at once and its batch starts, as an event of a replica, before the next arrival.
        assert starts(serve(one_stage(ONE_SECOND), arriving(1.0, 1.0, 1.0), on(0))) == [1.0, 2.0, 2.0]

    def test_batch_starts_before_an_arrival_of_its_instant(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.5))
        assert starts(serve(world, arriving(1.0, 1.5), on(0))) == [1.5, 2.5]

    def test_batch_takes_what_gets_ready_at_its_start(self) -> None:
        world = one_stage(replace(ONE_SECOND, max_wait_s=0.5), hop_delay_s=0.25)
        assert starts(serve(world, arriving(1.0, 1.5), on(0))) == [1.75, 1.75]

    def test_lower_slot_completes_first(self) -> None:
        world = two_stages(LONE, LONE)
        outcomes = serve(world, arriving(1.0, 1.0), on(1), on(3), on(5, 1))
        assert slots(outcomes) == [1, 3]
        assert starts(outcomes, 1) == [2.0, 3.0]
        # Slot 1 comes after the first request was routed, and ends the second's batch at the same instant.
        late = [on(3), on(1, at_s=1.25, speed=2.0), on(5, 1)]
        outcomes = serve(world, arriving(1.0, 1.5), *late)
        assert slots(outcomes) == [3, 1]
        assert ends(outcomes) == [2.0, 2.0]
        assert starts(outcomes, 1) == [3.0, 2.0]

    def test_lower_slot_starts_before_a_higher_one_completes(self) -> None:
        world = two_stages(LONE, ONE_SECOND)
        outcomes = serve(world, arriving(1.0, 1.0), on(1), on(3), on(2, 1))
        assert starts(outcomes, 1) == [2.0, 3.0]

    def test_higher_slot_starts_after_both_completed(self) -> None:
        world = two_stages(LONE, ONE_SECOND)
        outcomes = serve(world, arriving(1.0, 1.0), on(1), on(3), on(4, 1))
        assert starts(outcomes, 1) == [2.0, 2.0]

    def test_requests_of_one_batch_go_on_together_and_in_order(self) -> None:
        world = two_stages(replace(ONE_SECOND, max_wait_s=0.5), replace(ONE_SECOND, max_batch=2))
        outcomes = serve(world, arriving(1.0, 1.25, 1.5 - 1 / 16), on(0), on(1, 1))
        assert ends(outcomes) == [2.5, 2.5, 2.5]
        assert starts(outcomes, 1) == [2.5, 2.5, 3.5]

    def test_replica_completes_before_it_starts_again(self) -> None:
        world = two_stages(LONE, ONE_SECOND)
        outcomes = serve(world, arriving(1.0, 1.25), on(0), on(1, 1))
        assert starts(outcomes) == [1.0, 2.0]
        assert starts(outcomes, 1) == [2.0, 3.0]


class TestLatency:
    TABLE = replace(
        ONE_SECOND,
        batch_sizes=(2, 4, 8),
        levels=(0.25, 0.5, 1.0),
        latency_s=((1.0, 2.0, 4.0), (2.0, 3.0, 5.0), (4.0, 7.0, 9.0)),
        mean_s=(1.5, 3.0, 6.0),
    )

    @pytest.mark.parametrize(
        ("units", "latency_s"), [(1, 1.5), (2, 1.5), (3, 2.25), (4, 3.0), (6, 4.5), (8, 6.0), (12, 9.0)]
    )
    def test_mean_between_below_and_above_the_measured_sizes(self, units: int, latency_s: float) -> None:
        assert batch_latency_s(self.TABLE, units, 1.0, None) == latency_s

    @pytest.mark.parametrize(("u", "latency_s"), [(0.0, 2.0), (0.25, 2.0), (0.375, 2.5), (0.75, 4.0)])
    def test_same_level_is_drawn_at_each_size(self, u: float, latency_s: float) -> None:
        assert batch_latency_s(self.TABLE, 4, 1.0, u) == latency_s

    def test_levels_and_sizes_interpolate_together(self) -> None:
        # At u = 0.375: 1.5, 2.5 and 5.5; for 6 units half way between the last two; for 16 extended.
        assert batch_latency_s(self.TABLE, 6, 1.0, 0.375) == 4.0
        assert batch_latency_s(self.TABLE, 16, 1.0, 0.375) == 11.5

    def test_a_last_segment_that_falls_is_not_extended(self) -> None:
        variant = replace(self.TABLE, mean_s=(1.5, 3.0, 2.0))
        assert [batch_latency_s(variant, units, 1.0, None) for units in (6, 8, 100)] == [2.5, 2.0, 2.0]

    def test_one_size_is_proportional_above_and_flat_below(self) -> None:
        variant = replace(ONE_SECOND, batch_sizes=(4,), latency_s=((1.0, 1.0),), mean_s=(1.0,))
        assert [batch_latency_s(variant, units, 1.0, None) for units in (1, 4, 6)] == [1.0, 1.0, 1.5]

    def test_speed_divides(self) -> None:
        assert batch_latency_s(self.TABLE, 4, 2.0, None) == 1.5

    def test_beyond_the_levels_the_outermost_quantile_holds(self) -> None:
        assert quantile((0.25, 0.75), (1.0, 2.0), 0.125) == 1.0
        assert quantile((0.25, 0.75), (1.0, 2.0), 0.875) == 2.0

    def test_uniform_is_splitmix64(self) -> None:
        # The first outputs of SplitMix64 from seed 0, as its reference implementation prints them.
        outputs = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
        assert [mix(0x9E3779B97F4A7C15 * (i + 1) % 2**64) for i in range(4)] == outputs
        stream = outputs[2]
        assert uniform(0, 2, 1) == (mix((stream + 2 * 0x9E3779B97F4A7C15) % 2**64) >> 11) / 2**53

    def test_uniform_numbers_a_stream_for_each_request_and_wraps(self) -> None:
        assert uniform(2**64 - 1, 0, 0) == uniform((2**64 - 1 + 0x9E3779B97F4A7C15) % 2**64, -1, 0)
        numbers = np.array([[uniform(5, request, stage) for stage in range(8)] for request in range(4000)])
        assert len(np.unique(numbers)) == numbers.size
        assert abs(numbers.mean() - 0.5) < 4 / np.sqrt(12 * numbers.size)
        assert np.abs(np.corrcoef(numbers.T) - np.eye(8)).max() < 5 / np.sqrt(len(numbers))
        assert np.abs(np.corrcoef(numbers[1:, 0], numbers[:-1, 0])[0, 1]) < 4 / np.sqrt(len(numbers))

    def test_noise_belongs_to_the_head_of_the_batch(self) -> None:
        wide = replace(ONE_SECOND, max_wait_s=0.5, latency_s=((0.0, 8.0), (0.0, 8.0)))
        outcomes = serve(one_stage(wide, noise=True, noise_seed=9), arriving(1.0, 1.25, 40.0), on(0))
        assert ends(outcomes) == [
            1.5 + 8 * uniform(9, 0, 0),
            1.5 + 8 * uniform(9, 0, 0),
            40.5 + 8 * uniform(9, 2, 0),
        ]


class TestHorizon:
    def test_stops_after_the_events_of_its_time(self) -> None:
        world, arrivals, controls = one_stage(LONE), arriving(1.0, 1.25, 5.0), [on(0)]
        at_2 = run(world, arrivals, controls, until_s=2.0)[0]
        assert statuses(at_2) == ["completed", "in_flight", "in_flight"]
        assert at_2[1].stage_start_s == [2.0]
        assert at_2[2].stage_slot == []

    def test_arrivals_out_of_order_are_refused(self) -> None:
        with pytest.raises(ValueError, match="arrival 1"):
            run(one_stage(LONE), arriving(1.0, 0.5), [])
