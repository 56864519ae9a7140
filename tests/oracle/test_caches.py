"""Result caches, worked by hand, and against a list of what was used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .by_hand import LONE, STAGE, arriving, done, on, one_stage, serve, starts, statuses, user_with
from .cache import Instance
from .controls import ClearCaches, FailReplicas, SetAccess
from .model import (
    OracleArrival,
    OracleCache,
    OracleLevel,
    OracleLink,
    OraclePreload,
    OracleService,
    OracleSite,
    OracleWorld,
    Outcome,
)
from .simpy_oracle import simulate

QUARTER = OracleLevel(entries=4, hit_s=0.25)


def cached(*levels: OracleLevel, world: dict[str, Any] | None = None, **changes: Any) -> OracleWorld:
    """One stage of one-second requests behind a cache of items."""
    cache = replace(OracleCache("item", levels or (QUARTER,)), **changes)
    return one_stage(LONE, **({"service_plans": (OracleService(cache=cache),)} | (world or {})))


def asking(*pairs: tuple[float, int]) -> list[OracleArrival]:
    """Requests for items at times."""
    return [replace(arriving(time_s)[0], item=item, user=7) for time_s, item in pairs]


def told(outcomes: list[Outcome]) -> list[str]:
    return [outcome.cache for outcome in outcomes]


class TestLookUp:
    def test_hits_what_came_home_before(self) -> None:
        outcomes = serve(cached(), asking((1.0, 5), (2.0, 5), (2.5, 6)), on(0))
        assert told(outcomes) == ["miss", "hit 0", "miss"]
        assert done(outcomes) == [2.0, 2.25, 3.5]
        assert [outcome.over_s for outcome in outcomes] == [2.0, 2.0, 3.5]

    def test_a_hit_takes_the_hop_and_the_way_out(self) -> None:
        out = OracleSite(access_out=OracleLink(0.0, s_per_message=1.0))
        plan = OracleService(cache=OracleCache("item", (QUARTER,)))
        world = one_stage(LONE, sites=(out,), service_plans=(plan,), hop_delay_s=0.125)
        outcomes = serve(world, asking((1.0, 5), (2.5, 5), (2.5, 5)), on(0))
        # The first is home at 2.125 and on the way out until 3.125, the others one after the other after that.
        assert done(outcomes) == [3.25, 4.25, 5.25]

    def test_keys_of_users_items_or_both(self) -> None:
        arrivals = [replace(a, user=u, item=i) for a, u, i in zip(arriving(1.0, 3.0, 5.0), (1, 2, 1), (9, 9, 8))]
        for key, expected in (
            ("user", ["miss", "miss", "hit 0"]),
            ("item", ["miss", "hit 0", "miss"]),
            ("user_item", ["miss"] * 3),
        ):
            assert told(serve(cached(key=key), arrivals, on(0))) == expected

    def test_services_keep_their_own(self) -> None:
        plan = OracleService(cache=OracleCache("item", (QUARTER,)))
        world = one_stage(
            LONE,
            services=2,
            stages=(STAGE, replace(STAGE, service=1)),
            variants=(LONE, replace(LONE, stage=1)),
            service_plans=(plan, plan),
        )
        arrivals = asking((1.0, 5), (3.0, 5))
        assert told(serve(world, [arrivals[0], replace(arrivals[1], service=1)], on(0), on(1, 1))) == ["miss"] * 2

    def test_the_least_recently_used_goes(self) -> None:
        arrivals = asking((1.0, 1), (2.0, 2), (3.0, 1), (4.0, 3), (5.0, 1), (6.0, 2))
        outcomes = serve(cached(OracleLevel(2)), arrivals, on(0))
        assert told(outcomes) == ["miss", "miss", "hit 0", "miss", "hit 0", "miss"]

    def test_an_entry_lasts_for_less_than_its_time(self) -> None:
        world = cached(OracleLevel(4, ttl_s=2.0))
        finished = simulate(world, asking((1.0, 5), (3.75, 5), (4.0, 5), (5.5, 5)), [on(0)])
        # Home at 2; at 4 it is two seconds old, and looked up again.
        assert told(finished.outcomes) == ["miss", "hit 0", "miss", "hit 0"]
        cache = finished.caches[0]
        assert cache is not None
        assert cache.levels[0][0].counts == {"hits": 2, "misses": 2, "expired": 1}

    def test_a_lower_level_fills_those_above_with_its_own_age(self) -> None:
        levels = (OracleLevel(1, hit_s=0.25, ttl_s=3.0), OracleLevel(4, hit_s=0.5, ttl_s=5.0))
        arrivals = asking((1.0, 1), (2.0, 2), (4.0, 1), (4.5, 1), (5.0, 1), (7.0, 1))
        outcomes = serve(cached(*levels), arrivals, on(0))
        # Item 1 is home at 2, pushed out above at 3, back at 4, and too old above at 5, below at 7.
        assert told(outcomes) == ["miss", "miss", "hit 1", "hit 0", "hit 1", "miss"]
        assert done(outcomes)[2:5] == [4.5, 4.75, 5.5]

    def test_a_shared_level_serves_all_sites(self) -> None:
        homes = (0.5, 0.5)
        one, other = user_with(1, 0.0, 0.5), user_with(1, 0.5, 1.0)
        arrivals = [replace(a, user=u) for a, u in zip(asking((1.0, 5), (3.0, 5)), (one, other))]
        for is_shared, expected in ((False, ["miss", "miss"]), (True, ["miss", "hit 0"])):
            cache = OracleCache("item", (replace(QUARTER, is_shared=is_shared),))
            world = one_stage(
                LONE,
                sites=(OracleSite(), OracleSite()),
                nic_bytes_per_s=(1024.0, 1024.0),
                node_site=(0, 1),
                service_plans=(OracleService(home_shares=homes, cache=cache),),
            )
            assert told(serve(world, arrivals, on(0), on(1, node=1))) == expected

    def test_an_instance_is_a_list_of_what_was_used(self) -> None:
        rng = np.random.default_rng(4)
        instance, used = Instance(OracleLevel(7)), list[int]()
        for key in map(int, rng.zipf(1.3, 3000) % 40):
            assert (instance.find(key, 0.0) is not None) == (key in used)
            instance.put(key, 0.0)
            used = [key, *(each for each in used if each != key)][:7]


class TestInFlight:
    def test_like_requests_wait_for_the_first(self) -> None:
        outcomes = serve(cached(), asking((1.0, 5), (1.25, 5), (1.5, 6), (1.75, 5)), on(0))
        assert told(outcomes) == ["miss", "wait", "miss", "wait"]
        assert done(outcomes) == [2.0, 2.0, 3.0, 2.0]
        assert outcomes[1].stage_slot == []

    def test_they_fail_with_it_and_the_next_goes_on(self) -> None:
        controls = [on(0), on(1), FailReplicas(1.5, (0,))]
        outcomes = serve(cached(), asking((1.0, 5), (1.25, 5), (1.75, 5)), *controls)
        assert (told(outcomes), statuses(outcomes)) == (["miss", "wait", "miss"], ["failed", "failed", "completed"])
        assert done(outcomes) == [1.5, 1.5, 2.75]

    def test_their_answers_leave_in_order_after_it(self) -> None:
        out = OracleSite(access_out=OracleLink(0.0, s_per_message=1.0))
        world = cached(world=None)
        world = replace(world, sites=(out,))
        assert done(serve(world, asking((1.0, 5), (1.25, 5), (1.5, 5)), on(0))) == [3.0, 4.0, 5.0]

    def test_the_way_out_being_down_fails_all_but_fills_the_cache(self) -> None:
        out = OracleSite(access_out=OracleLink(0.0))
        world = replace(cached(), sites=(out,))
        controls = [on(0), SetAccess(1.5, 0, "out", False), SetAccess(2.5, 0, "out", True)]
        outcomes = serve(world, asking((1.0, 5), (1.25, 5), (2.25, 5), (3.0, 5)), *controls)
        assert told(outcomes) == ["miss", "wait", "hit 0", "hit 0"]
        assert statuses(outcomes) == ["failed", "failed", "failed", "completed"]

    def test_without_coalescing_all_go_on(self) -> None:
        outcomes = serve(cached(coalesces=False), asking((1.0, 5), (1.25, 5), (2.5, 5)), on(0))
        assert told(outcomes) == ["miss", "miss", "hit 0"]
        assert starts(outcomes[:2]) == [1.0, 2.0]


class TestBackground:
    def test_an_old_hit_is_refreshed_once(self) -> None:
        world = cached(replace(QUARTER, refresh_after_s=1.0, ttl_s=3.0))
        arrivals = asking((1.0, 5), (2.75, 5), (3.0, 5), (3.25, 5), (4.25, 5), (6.75, 5))
        finished = simulate(world, arrivals, [on(0)])
        # Home at 2; refreshed from 3 to 4, which the hit at 3.25 leaves alone; at 6.75 it is refreshed again.
        assert told(finished.outcomes) == ["miss", *["hit 0"] * 5]
        background = [request for request in finished.requests if request.is_background]
        assert [(each.branch, each.arrived_s, each.outcome.over_s) for each in background] == [
            (1, 3.0, 4.0),
            (1, 6.75, 7.75),
        ]
        assert finished.counts["background ended", 0] == finished.counts["background started", 0] == 2
        assert finished.counts["completed", 0] == 6

    def test_misses_fetch_the_keys_that_follow(self) -> None:
        finished = simulate(cached(prefetch=2), asking((1.0, 5), (6.0, 6), (6.0, 7), (8.0, 8)), [on(0), on(1)])
        assert told(finished.outcomes) == ["miss", "hit 0", "hit 0", "miss"]
        background = [(each.branch, each.key) for each in finished.requests if each.is_background]
        assert background == [(2, 6), (3, 7), (2, 9), (3, 10)]
        assert finished.outcomes[0].stage_slot == [0]  # it was routed before them

    def test_what_is_known_or_on_its_way_is_not_fetched(self) -> None:
        finished = simulate(cached(prefetch=1), asking((1.0, 6), (4.0, 5), (4.125, 9), (4.25, 8)), [on(0)])
        background = [(each.id, each.key) for each in finished.requests if each.is_background]
        assert background == [(0, 7), (2, 10)]

    def test_looking_for_what_is_known_does_not_make_it_recent(self) -> None:
        # 6 is older than 8; the look at 6 when 5 is asked for leaves it so, and 5 pushes it out.
        world = cached(OracleLevel(2), prefetch=1, world=None)
        world = replace(world, preloads=(OraclePreload(0, 0, (6, 8)),))
        assert told(serve(world, asking((1.0, 5), (4.0, 6)), on(0))) == ["miss", "miss"]

    def test_clients_wait_for_what_is_fetched(self) -> None:
        outcomes = serve(cached(prefetch=1), asking((1.0, 5), (1.5, 6)), on(0))
        assert told(outcomes) == ["miss", "wait"]
        assert done(outcomes) == [2.0, 3.0]

    def test_waiting_fetches_too(self) -> None:
        finished = simulate(cached(prefetch=1), asking((1.0, 5), (1.5, 6)), [on(0)])
        assert [each.key for each in finished.requests if each.is_background] == [6, 7]

    def test_it_ends_at_home_without_the_way_out(self) -> None:
        out = OracleSite(access_out=OracleLink(0.0, s_per_message=8.0))
        world = replace(cached(prefetch=1), sites=(out,))
        finished = simulate(world, asking((1.0, 5)), [on(0)])
        assert [each.outcome.over_s for each in finished.requests] == [2.0, 3.0]
        link = finished.network.access_out[0]
        assert link is not None
        assert link.server.count == 1


class TestFillingAndClearing:
    def test_preloaded_keys_are_of_time_0_and_the_last_the_most_recent(self) -> None:
        preload = OraclePreload(0, 0, (1, 2, 3, 4, 5))
        world = replace(cached(replace(QUARTER, ttl_s=4.0)), preloads=(preload,))
        assert told(serve(world, asking((0.5, 1), (2.0, 2), (2.0, 5), (4.0, 5)), on(0))) == [
            "miss",
            "miss",
            "hit 0",
            "miss",
        ]

    def test_cleared_caches_are_empty_but_what_is_in_flight_fills_them(self) -> None:
        outcomes = serve(cached(), asking((1.0, 5), (2.5, 6), (3.125, 5), (5.0, 6)), on(0), ClearCaches(3.0))
        assert told(outcomes) == ["miss", "miss", "miss", "hit 0"]

    def test_a_site_that_clears_leaves_shared_levels(self) -> None:
        world = cached(QUARTER, replace(QUARTER, is_shared=True))
        world = replace(world, sites=(OracleSite(), OracleSite()))
        outcomes = serve(world, asking((1.0, 5), (4.0, 5)), on(0), ClearCaches(3.0, site=0))
        assert told(outcomes) == ["miss", "hit 1"]
