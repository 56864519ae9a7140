"""Embedding look-ups and interference, worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from .by_hand import LONE, ONE_SECOND, STAGE, arriving, ends, on, one_stage, serve, starts
from .controls import SetLookup, SetTierRate
from .model import OracleInterference, OracleLookup, OracleReplica, OracleTier, OracleVariant, OracleWorld
from .service_time import slowdown
from .simpy_oracle import simulate

DRAM = OracleTier(bytes_per_s=1024.0, delay_s=0.125)
TABLE = OracleInterference((2, 4), (2, 4), ((1.0, 2.0), (3.0, 4.0)))


def reading(lookup: OracleLookup, *tiers: OracleTier, variant: OracleVariant = LONE, **changes: Any) -> OracleWorld:
    nodes = len(changes.get("nic_bytes_per_s", (0.0,)))
    return one_stage(variant, tiers=tiers, lookups={(0, node): lookup for node in range(nodes)}, **changes)


class TestLookUp:
    def test_comes_before_the_work(self) -> None:
        outcomes = serve(reading(OracleLookup((512.0,)), DRAM), arriving(1.0, 1.0), on(0))
        assert (starts(outcomes), ends(outcomes)) == ([1.0, 2.625], [2.625, 4.25])

    def test_of_one_tier_waits_for_another(self) -> None:
        outcomes = serve(reading(OracleLookup((512.0,)), DRAM), arriving(1.0, 1.0), on(0), on(1))
        assert ends(outcomes) == [2.625, 3.125]

    @pytest.mark.parametrize(("is_shared", "second_s"), [(True, 3.125), (False, 2.625)])
    def test_of_another_node_waits_if_the_tier_is_shared(self, is_shared: bool, second_s: float) -> None:
        world = reading(OracleLookup((512.0,)), replace(DRAM, is_shared=is_shared), nic_bytes_per_s=(1024.0, 1024.0))
        assert ends(serve(world, arriving(1.0, 1.0), on(0), on(1, node=1))) == [2.625, second_s]

    def test_of_several_tiers_ends_with_the_slowest(self) -> None:
        world = reading(OracleLookup((512.0, 0.0, 256.0)), DRAM, DRAM, OracleTier(256.0, 0.0))
        finished = simulate(world, arriving(1.0), [on(0)])
        assert ends(finished.outcomes) == [3.0]
        assert [finished.tiers.servers[tier, 0].busy_s for tier in range(3)] == [0.5, 0.0, 1.0]
        assert [finished.tiers.servers[tier, 0].size_bytes for tier in range(3)] == [512.0, 0.0, 256.0]

    def test_counts_the_units_of_the_batch(self) -> None:
        variant = replace(ONE_SECOND, unit_items=True, max_batch=8, max_wait_s=0.5)
        world = reading(OracleLookup((128.0,), decode_s_per_unit=1 / 16), DRAM, variant=variant)
        # Six items: 3/4 s, the delay, 3/8 s to unpack, one second.
        assert ends(serve(world, arriving(1.0, 1.25, items=3), on(0))) == [3.75, 3.75]

    def test_unpacks_what_is_on_the_device_too(self) -> None:
        assert ends(serve(reading(OracleLookup((0.0,), 0.0, 0.25), DRAM), arriving(1.0), on(0))) == [2.25]

    def test_of_far_rows_shares_the_card_with_tasks(self) -> None:
        world = reading(OracleLookup((), sharded_bytes_per_unit=512.0))
        outcomes = serve(world, arriving(1.0, 1.75, bytes_in=1024.0), on(0), on(1))
        # The first's rows wait from 2 until the second has come in at 3.
        assert starts(outcomes) == [2.0, 3.0]
        assert ends(outcomes) == [4.5, 5.0]

    def test_rates_change_for_what_starts_later(self) -> None:
        outcomes = serve(
            reading(OracleLookup((512.0,)), DRAM), arriving(1.0, 1.25), on(0), SetTierRate(1.125, 0, 256.0)
        )
        assert ends(outcomes) == [2.625, 2.625 + 2.0 + 0.125 + 1.0]

    def test_a_rate_of_one_node_leaves_the_others(self) -> None:
        world = reading(OracleLookup((512.0,)), DRAM, nic_bytes_per_s=(1024.0, 1024.0))
        controls = [on(0), on(1, node=1), SetTierRate(0.5, 0, 256.0, node=1)]
        assert ends(serve(world, arriving(1.0, 1.0), *controls)) == [2.625, 4.125]

    def test_what_is_read_changes_for_what_starts_later(self) -> None:
        controls = [on(0), SetLookup(1.125, 0, 0, OracleLookup((1024.0,)))]
        assert ends(serve(reading(OracleLookup((512.0,)), DRAM), arriving(1.0, 1.25), *controls)) == [2.625, 4.75]


class TestInterference:
    def on(self, slot: int, device: int) -> Any:
        return replace(on(slot), replica=OracleReplica(slot, 0, 0, 1.0, device))

    @pytest.mark.parametrize(
        ("running", "units", "factor"),
        [(1, 2, 1.0), (2, 1, 1.0), (2, 3, 1.5), (2, 9, 2.0), (3, 2, 2.0), (4, 3, 3.5), (6, 2, 4.5)],
    )
    def test_slowdown_between_and_beyond_what_was_measured(self, running: int, units: int, factor: float) -> None:
        assert slowdown(TABLE, running, units) == factor

    def test_slowdown_below_the_smallest_count(self) -> None:
        assert slowdown(OracleInterference((4,), (1,), ((2.5,),)), 2, 1) == 1.5
        assert slowdown(None, 3, 1) == 1.0

    def test_counts_batches_that_run_at_the_start_on_the_same_device(self) -> None:
        variant = replace(LONE, interference=OracleInterference((2,), (1,), ((2.0,),)))
        world = one_stage(variant, stages=(replace(STAGE, router="round_robin"),))
        controls = [self.on(0, 5), self.on(1, 5), self.on(2, 6), self.on(3, -1), self.on(4, -1)]
        outcomes = serve(world, arriving(1.0, 1.25, 1.25, 1.25, 1.25, 3.0), *controls)
        # The second runs beside the first, which goes on as it began; at 3 slot 1 still runs, until 3.25.
        assert ends(outcomes) == [2.0, 3.25, 2.25, 2.25, 2.25, 5.0]

    def test_waits_for_those_before_it_where_they_take_turns(self) -> None:
        variant = replace(LONE, interference=OracleInterference((2,), (1,), ((2.5,),), takes_turns=True))
        world = one_stage(variant, stages=(replace(STAGE, router="round_robin"),))
        controls = [self.on(0, 5), self.on(1, 5), self.on(2, 6)]
        outcomes = serve(world, arriving(1.0, 1.25, 1.25, 3.5, 5.0), *controls)
        assert ends(outcomes) == [2.0, 3.0, 2.25, 4.5, 6.0]

    def test_takes_longer_after_a_batch_of_another_slot(self) -> None:
        measured = OracleInterference((2,), (1,), ((2.5,),), takes_turns=True, turn_s=0.5, turn_waiting_s=0.25)
        world = one_stage(replace(LONE, interference=measured), stages=(replace(STAGE, router="round_robin"),))
        outcomes = serve(world, arriving(1.0, 1.25, 4.0), self.on(0, 5), self.on(1, 5))
        assert ends(outcomes) == [2.0, 3.25, 5.5]

    def test_goes_cold_when_idle(self) -> None:
        variant = replace(LONE, cold_s=0.5, cold_after_s=2.0)
        outcomes = serve(one_stage(variant), arriving(1.0, 1.5), on(0))
        first = 2.0 + 0.5 * (1.0 - math.exp(-0.5))
        assert ends(outcomes) == pytest.approx([first, first + 1.0])
