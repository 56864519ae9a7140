"""Sites, links and their failures, worked by hand; all times are dyadic, so every comparison is exact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .by_hand import LONE, STAGE, arriving, done, ends, on, one_stage, serve, slots, starts, statuses, user_with
from .controls import Control, FailReplicas, SetAccess, SetLink
from .model import OracleLink, OracleReplica, OracleService, OracleSite, OracleStage, OracleWorld, Outcome
from .simpy_oracle import simulate

LINK = OracleLink(s_per_byte=2.0**-10, s_per_message=0.25, delay_s=0.5)
HALF = OracleLink(s_per_byte=0.0, s_per_message=0.5)


def two_sites(link: OracleLink | None = LINK, stage: OracleStage = STAGE, **changes: Any) -> OracleWorld:
    """Users at site 0; node 0 there, node 1 at site 1; links both ways, cards that take no time worth naming."""
    links = {(0, 1): link, (1, 0): link} if link else {}
    world = one_stage(
        LONE,
        stages=(stage,),
        nic_bytes_per_s=(2.0**40, 2.0**40),
        sites=(OracleSite(), OracleSite()),
        node_site=(0, 1),
        links=links,
    )
    return replace(world, **changes)


def at_site(slot: int, site: int, at_s: float = 0.0) -> Control:
    return on(slot, node=site, at_s=at_s)


class TestAccess:
    def test_in_carries_one_payload_at_a_time(self) -> None:
        world = one_stage(LONE, nic_bytes_per_s=(2.0**40,), sites=(OracleSite(access_in=LINK),))
        outcomes = serve(world, arriving(1.0, 1.0, bytes_in=512.0), on(0), on(1))
        # Each takes 3/4 s, and half a second of delay.
        assert [round(s, 6) for s in starts(outcomes)] == [2.25, 3.0]

    def test_out_carries_answers_in_order_of_completion(self) -> None:
        plan = OracleService(bytes_out=256.0)
        world = one_stage(LONE, sites=(OracleSite(access_out=LINK),), service_plans=(plan,), hop_delay_s=0.25)
        outcomes = serve(world, arriving(1.0, 1.0), on(0), on(1))
        # Home at 2.25; half a second each; the delay; and the hop.
        assert done(outcomes) == [3.5, 4.0]
        assert [outcome.over_s for outcome in outcomes] == [2.25, 2.25]

    def test_of_the_users_home_is_taken(self) -> None:
        sites = (OracleSite(), OracleSite(access_in=HALF))
        homes = OracleService(home_shares=(0.5, 0.5))
        near, far = user_with(1, 0.0, 0.5), user_with(1, 0.5, 1.0)
        arrivals = [replace(a, user=u) for a, u in zip(arriving(1.0, 1.0), (far, near))]
        world = two_sites(sites=sites, service_plans=(homes,), stages=(replace(STAGE, router="locality"),))
        assert starts(serve(world, arrivals, at_site(0, 0), at_site(1, 1))) == [1.5, 1.0]

    def test_in_that_is_down_fails_what_comes_and_what_it_carries(self) -> None:
        world = one_stage(LONE, sites=(OracleSite(access_in=LINK),))
        controls = [on(0), SetAccess(1.25, 0, "in", False), SetAccess(4.0, 0, "in", True)]
        outcomes = serve(world, arriving(1.0, 1.0, 3.0, 5.0), *controls)
        assert statuses(outcomes) == ["failed", "failed", "failed", "completed"]
        assert done(outcomes)[:3] == [1.25, 1.25, 3.0]

    def test_in_is_free_when_it_comes_back(self) -> None:
        world = one_stage(LONE, sites=(OracleSite(access_in=replace(HALF, s_per_message=4.0)),))
        controls = [on(0), SetAccess(1.25, 0, "in", False), SetAccess(1.5, 0, "in", True)]
        assert starts(serve(world, arriving(1.0, 1.75), *controls)[1:]) == [5.75]

    def test_out_that_is_down_fails_answers_but_takes_none_back(self) -> None:
        world = one_stage(LONE, sites=(OracleSite(access_out=replace(HALF, delay_s=8.0)),))
        outcomes = serve(world, arriving(1.0, 2.0), on(0), SetAccess(2.5, 0, "out", False))
        assert statuses(outcomes) == ["completed", "failed"]
        assert done(outcomes) == [10.5, 3.0]


class TestBetweenSites:
    def test_a_task_and_its_answer_pass_the_links(self) -> None:
        world = two_sites(service_plans=(OracleService(bytes_out=1024.0),), hop_delay_s=0.125)
        [outcome] = serve(world, arriving(1.0, bytes_in=512.0), at_site(0, 1))
        # Over at 2.25 and a hop; a second of work; over again in 1.75; a hop.
        assert ends([outcome]) == pytest.approx([3.375], abs=1e-8)
        assert done([outcome]) == pytest.approx([5.25], abs=1e-8)

    def test_a_later_stage_starts_where_the_one_before_ended(self) -> None:
        stages = (STAGE, replace(STAGE, position=1, router="locality"))
        world = two_sites(HALF, stages=stages, variants=(LONE, replace(LONE, stage=1)))
        controls = [at_site(0, 1), on(1, 1, node=0), on(2, 1, node=1)]
        [outcome] = serve(world, arriving(1.0), *controls)
        assert outcome.stage_slot == [0, 2]
        assert outcome.stage_start_s == [1.5, 2.5]
        assert outcome.done_s == 4.0

    def test_nothing_goes_without_a_link(self) -> None:
        outcomes = serve(two_sites(None), arriving(1.0), at_site(0, 1))
        assert (statuses(outcomes), done(outcomes)) == (["failed"], [1.0])

    def test_an_answer_without_a_way_home_fails(self) -> None:
        outcomes = serve(two_sites(links={(0, 1): HALF}), arriving(1.0), at_site(0, 1))
        assert (statuses(outcomes), done(outcomes), ends(outcomes)) == (["failed"], [2.5], [2.5])

    def test_least_outstanding_looks_at_all_that_it_can_reach(self) -> None:
        world = two_sites(HALF)
        assert slots(serve(world, arriving(*[1.0] * 3), at_site(0, 1), at_site(1, 0))) == [1, 0, 1]

    def test_what_is_on_a_link_counts_as_queued(self) -> None:
        world = two_sites(HALF, variants=(replace(LONE, queue_limit=1),))
        assert statuses(serve(world, arriving(1.0, 1.0), at_site(0, 1))) == ["completed", "rejected"]

    def test_the_card_takes_what_comes_off_links_in_its_turn(self) -> None:
        world = two_sites(replace(HALF, s_per_message=0.0, delay_s=0.25), nic_bytes_per_s=(2.0**40, 1024.0))
        arrivals = arriving(1.0, 1.0, bytes_in=1024.0)
        assert starts(serve(world, arrivals, at_site(0, 1), at_site(1, 1))) == [2.25, 3.25]


class TestLinkFailure:
    def test_loses_tasks_in_order_and_is_avoided(self) -> None:
        world = two_sites(HALF, replace(STAGE, retries=1, retry_delay_s=0.25))
        controls = [at_site(0, 1), at_site(1, 0, at_s=1.25), SetLink(1.25, 0, 1, False)]
        outcomes = serve(world, arriving(1.0, 1.0), *controls)
        # Both are lost at 1.25 and go to the replica at home at 1.5, the first first.
        assert slots(outcomes) == [1, 1]
        assert starts(outcomes) == [1.5, 2.5]

    def test_loses_answers(self) -> None:
        finished = simulate(two_sites(HALF), arriving(1.0), [at_site(0, 1), SetLink(2.75, 1, 0, False)])
        [outcome] = finished.outcomes
        assert (outcome.status, outcome.done_s) == ("failed", 2.75)
        assert finished.network.links[1, 0].lost == 1

    def test_makes_held_tasks_lost_that_reach_nothing_else(self) -> None:
        world = two_sites(HALF, replace(STAGE, max_outstanding=1))
        outcomes = serve(world, arriving(1.0, 1.0), at_site(0, 1), SetLink(1.75, 0, 1, False))
        assert statuses(outcomes) == ["completed", "failed"]
        assert done(outcomes) == [3.0, 1.75]

    def test_that_ends_lets_the_router_pass_on(self) -> None:
        # Slot 0 at home is busy for long; slot 1 far off is idle, and in reach again at 2.
        world = two_sites(HALF, replace(STAGE, max_outstanding=1))
        controls = [on(0, speed=0.125), at_site(1, 1), SetLink(0.5, 0, 1, False), SetLink(2.0, 0, 1, True)]
        assert starts(serve(world, arriving(1.0, 1.0), *controls)) == [1.0, 2.5]

    def test_a_task_comes_off_a_link_to_a_replica_that_is_no_more(self) -> None:
        again = Control(1.25, "activate", OracleReplica(0, 0, 1, 1.0))
        outcomes = serve(two_sites(HALF), arriving(1.0, 1.25), at_site(0, 1), FailReplicas(1.25, (0,)), again)
        # The new replica of the same slot is another one.
        assert statuses(outcomes) == ["failed", "failed"]
        assert done(outcomes) == [1.5, 2.0]


class TestTiesOfLinks:
    def test_links_come_after_replicas_and_before_arrivals(self) -> None:
        # At 2 the replica completes and starts the second; the third comes off the access link before the fourth.
        sites = (OracleSite(access_in=HALF),)
        world = one_stage(LONE, sites=sites)
        outcomes = serve(world, arriving(0.5, 1.0, 1.5), on(0))
        assert starts(outcomes) == [1.0, 2.0, 3.0]

    def test_access_by_site_comes_before_links_between_sites(self) -> None:
        # At 2 a request of site 1 comes in there, and a task from site 0 too; the former is routed first.
        sites = (OracleSite(), OracleSite(access_in=HALF))
        homes = OracleService(home_shares=(0.5, 0.5))
        near, far = user_with(1, 0.0, 0.5), user_with(1, 0.5, 1.0)
        arrivals = [replace(a, user=u) for a, u in zip(arriving(1.5, 1.5), (near, far))]
        world = two_sites(HALF, sites=sites, service_plans=(homes,))
        outcomes = serve(world, arrivals, at_site(0, 1))
        assert starts(outcomes) == [3.0, 2.0]

    def test_nothing_is_told_of_a_stage_that_was_not_passed(self) -> None:
        [outcome] = serve(two_sites(HALF), arriving(1.0), at_site(0, 1), SetLink(1.25, 0, 1, False))
        assert outcome.stage_slot == [-1]
        assert isinstance(outcome, Outcome)
