"""The routers, worked by hand or against their definitions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from . import routers_of_users
from .by_hand import LONE, STAGE, arriving, off, on, one_stage, serve, slots, two_stages
from .draws import FIRST, SECOND, share, uniform
from .model import OracleArrival, OracleLink, OracleService, OracleSite
from .simpy_oracle import run


def routed(arrivals: list[OracleArrival], *controls: Any, **stage: Any) -> list[int]:
    return slots(serve(one_stage(LONE, stages=(replace(STAGE, **stage),)), arrivals, *controls))


class TestWeighted:
    def test_gives_the_faster_replica_more(self) -> None:
        # Costs at slot 0: 2048, 4096, ...; at slot 1: 1024, 2048, 3072, ...
        arrivals = arriving(*[1.0] * 6)
        assert routed(arrivals, on(0, speed=0.5), on(1), router="weighted") == [1, 0, 1, 1, 0, 1]

    def test_rounds_the_unit(self) -> None:
        # 1024 x 3 / 2.9999 rounds to 1024, so that the two tie and the first is taken.
        variants = (replace(LONE, weight=2.9999), replace(LONE, weight=3.0))
        world = one_stage(LONE, stages=(replace(STAGE, router="weighted"),), variants=variants)
        assert slots(serve(world, arriving(1.0, 1.0), on(0), on(1, 1))) == [0, 1]

    def test_fastest_is_of_all_stages(self) -> None:
        # Against 1000 the units are 1024000 / 3 and / 2.9999, which do not tie.
        variants = (replace(LONE, weight=2.9999), replace(LONE, weight=3.0))
        world = two_stages(LONE, replace(LONE, weight=1000.0))
        stages = (replace(STAGE, router="weighted"), world.stages[1])
        world = replace(world, stages=stages, variants=(*variants, world.variants[1]))
        assert slots(serve(world, arriving(1.0, 1.0), on(0), on(1, 1), on(2, 2))) == [1, 0]


class TestPowerOfTwo:
    def test_takes_the_lower_of_the_two_drawn(self) -> None:
        # Bursts far apart, so that each begins with nothing outstanding.
        arrivals = arriving(*[1.0 + 8.0 * burst for burst in range(20) for _ in range(6)])
        got = routed(arrivals, *map(on, range(5)), router="power_of_two")
        load: Counter[int] = Counter()
        for i, arrival in enumerate(arrivals):
            if i % 6 == 0:
                load.clear()
            one, other = (math.floor(5 * uniform(1, i, 0, draw=number)) for number in (FIRST, SECOND))
            expected = other if load[other] < load[one] else one
            load[expected] += 1
            assert got[i] == expected, arrival


class TestConsistentHash:
    CONTROLS = tuple(map(on, range(4)))

    def owner(self, user: int, members: range | list[int]) -> list[int]:
        """The members in the order in which the ring offers them to a user."""
        points = sorted((share(slot, 16 + i), slot) for slot in members for i in range(64))
        at = share(user, 3)
        after = [slot for point, slot in points if point >= at] + [slot for point, slot in points if point < at]
        return list(dict.fromkeys(after))

    def test_keeps_a_user_at_one_replica(self) -> None:
        arrivals = [replace(a, user=i % 30) for i, a in enumerate(arriving(*(1.0 + 2.0 * i for i in range(90))))]
        got = routed(arrivals, *self.CONTROLS, router="consistent_hash")
        assert got == [self.owner(arrival.user, range(4))[0] for arrival in arrivals]
        assert set(got) == set(range(4))

    def test_passes_on_round_the_ring_over_the_bound(self) -> None:
        arrivals = [replace(a, user=3) for a in arriving(*[1.0] * 6)]
        ring = self.owner(3, range(4))
        # At a bound of 0 each may have ceil((O + 1) / 4).
        assert routed(arrivals, *self.CONTROLS, router="consistent_hash", hash_bound=0.0) == [*ring, *ring[:2]]
        # At 1 each may have ceil((O + 1) / 2): 1, 1, 2, 2, 3, 3.
        first, second = ring[:2]
        expected = [first, second, first, second, first, second]
        assert routed(arrivals, *self.CONTROLS, router="consistent_hash", hash_bound=1.0) == expected

    def test_moves_only_the_users_of_a_replica_that_leaves(self) -> None:
        arrivals = [replace(a, user=i) for i, a in enumerate(arriving(*(1.0 + 2.0 * i for i in range(60))))]
        before = routed(arrivals, *self.CONTROLS, router="consistent_hash")
        after = routed(arrivals, *self.CONTROLS, off(2, 0.5), router="consistent_hash")
        assert 2 in before
        assert [slot for slot in before if slot != 2] == [new for new, old in zip(after, before) if old != 2]


class TestLocality:
    FREE = OracleLink(0.0)

    @pytest.mark.parametrize(("spill", "expected"), [(0, [1, 1, 1, 1, 1]), (1, [1, 0, 1, 0, 1]), (2, [1, 1, 0, 0, 1])])
    def test_spills_over_to_other_sites(self, spill: int, expected: list[int]) -> None:
        world = one_stage(
            LONE,
            stages=(replace(STAGE, router="locality", spill_outstanding=spill),),
            nic_bytes_per_s=(1024.0, 1024.0),
            sites=(OracleSite(), OracleSite()),
            node_site=(0, 1),
            links={(0, 1): self.FREE, (1, 0): self.FREE},
        )
        assert slots(serve(world, arriving(*[1.0] * 5), on(0, node=1), on(1))) == expected

    def test_goes_far_where_there_is_nothing_near(self) -> None:
        world = one_stage(
            LONE,
            stages=(replace(STAGE, router="locality"),),
            sites=(OracleSite(), OracleSite()),
            node_site=(1,),
            links={(0, 1): self.FREE, (1, 0): self.FREE},
            service_plans=(OracleService(),),
        )
        assert slots(serve(world, arriving(1.0, 1.0), on(0), on(1))) == [0, 1]


class TestPoolOrder:
    def test_is_by_site_then_slot(self) -> None:
        free = OracleLink(0.0)
        world = one_stage(
            LONE,
            stages=(replace(STAGE, router="round_robin"),),
            nic_bytes_per_s=(1024.0, 1024.0),
            sites=(OracleSite(), OracleSite()),
            node_site=(1, 0),
            links={(0, 1): free, (1, 0): free},
        )
        assert slots(serve(world, arriving(*[1.0] * 4), on(0), on(1), on(2, node=1), on(3, node=1))) == [2, 3, 0, 1]


class TestFunction:
    def test_is_asked_with_the_pool_and_kept_within_it(self) -> None:
        arrivals = [replace(a, user=4) for a in arriving(*[1.0] * 4)]
        assert routed(arrivals, *map(on, range(3)), router="function", function="by_user") == [1, 2, 1, 1]
        assert routed(arrivals, on(0), on(1), on(2), router="function", function="most_work") == [0, 0, 0, 0]
        many = arriving(*(1.0 + 4.0 * i for i in range(60)))
        got = routed(many, on(0), on(1), router="function", function="anywhere")
        places = [math.floor(4 * uniform(1, i, 0, draw=FIRST)) - 1 for i in range(60)]
        assert got == [min(max(place, 0), 1) for place in places]
        assert {-1, 2} <= set(places)

    def test_names(self) -> None:
        assert set(routers_of_users.FUNCTIONS) == {"most_work", "anywhere", "by_user"}
        with pytest.raises(ValueError, match="router 'nearest'"):
            run(one_stage(LONE, stages=(replace(STAGE, router="nearest"),)), [], [])  # type: ignore[arg-type]
