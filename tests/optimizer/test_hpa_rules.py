"""The autoscaler's rules by hand, and what holds of them whatever the numbers are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.autoscalers.hpa.behaviour import (
    Direction,
    Event,
    PolicyType,
    RatePolicy,
    Rules,
    Select,
    change_within,
    limit,
    store,
)
from optimizer.autoscalers.hpa.calculator import (
    Proposal,
    Tolerance,
    by_average_value,
    by_pod_average,
    by_utilisation,
    by_value,
)
from optimizer.autoscalers.hpa.limits import Bounds, clamp, clamp_by_rules
from optimizer.autoscalers.hpa.metrics import Failure, Metric, Source, Target, Total, combine, propose
from optimizer.autoscalers.hpa.pods import Phase, Pod, Sample, group_pods
from optimizer.autoscalers.hpa.spec import Behaviour, Controller, HpaSpec
from optimizer.autoscalers.hpa.stabilise import Recommendation, stabilise, stabilise_both_ways
from optimizer.autoscalers.hpa.sync import Memory, Synced, sync
from optimizer.autoscalers.hpa.usage import NoProposalError, PodUsage, add_up
from optimizer.autoscalers.hpa.whole import MOST_MILLI, MOST_REPLICAS

TOLERANCE = Tolerance()
CPU = Metric(Source.RESOURCE, "cpu", Target.UTILISATION, 50)
RATE = Metric(Source.EXTERNAL, "rate", Target.AVERAGE_VALUE, 10_000)
PODS, PERCENT = PolicyType.PODS, PolicyType.PERCENT

counts = st.integers(0, 200)
logs = st.lists(st.builds(Recommendation, counts, st.floats(-1000, 0)), max_size=12).map(tuple)
events = st.lists(st.builds(Event, st.integers(1, 40), st.floats(-200, 0)), max_size=6).map(tuple)
rate_policies = st.builds(
    RatePolicy, st.sampled_from(PolicyType), st.integers(1, 150), st.sampled_from([15.0, 60.0, 120.0])
)
rules = st.builds(
    Rules,
    st.lists(rate_policies, min_size=1, max_size=3).map(tuple),
    st.sampled_from(Select),
    st.sampled_from([0.0, 60.0, 300.0]),
)
behaviours = st.one_of(st.none(), st.builds(Behaviour, rules, rules))


@st.composite
def bounds(draw: st.DrawFn) -> Bounds:
    least = draw(st.integers(1, 50))
    return Bounds(least, least + draw(st.integers(0, 100)))


def busy(ready: int, milli_each: int, **others: int) -> PodUsage:
    """Pods that request 1000 each."""
    missing = (1000,) * others.get("missing", 0)
    unready = others.get("unready", 0)
    return PodUsage(ready, ready * milli_each, ready * 1000, unready, unready * 1000, missing)


# --- pods -----------------------------------------------------------------------------------------------


def test_each_pod_is_in_one_group() -> None:
    pods = [
        Pod("serves", started_s=-1000.0, ready_changed_s=-900.0),
        Pod("fresh", started_s=-100.0, ready_changed_s=-30.0),
        Pod("fresh sample", started_s=-100.0, ready_changed_s=-70.0),
        Pod("waits", Phase.PENDING),
        Pod("silent"),
        Pod("leaves", is_deleting=True),
        Pod("broken", Phase.FAILED),
        Pod("done", Phase.SUCCEEDED),
        Pod("never ready", ready=False, started_s=-1000.0, ready_changed_s=-980.0),
        Pod("was ready", ready=False, started_s=-1000.0, ready_changed_s=-900.0),
        Pod("just a window ago", started_s=-100.0, ready_changed_s=-60.0),
        Pod("ready just in time", ready=False, started_s=-1000.0, ready_changed_s=-970.0),
        Pod("says nothing", ready=None),
    ]
    samples = {pod.name: Sample(1, 0.0, 60.0) for pod in pods if pod.name != "silent"}
    groups = group_pods(pods, samples, 0.0, is_cpu=True)
    assert groups.ready == ("serves", "fresh sample", "was ready", "just a window ago", "ready just in time")
    assert groups.unready == ("fresh", "waits", "never ready", "says nothing")
    assert groups.missing == ("silent",)
    assert groups.ignored == ("leaves", "broken", "done")
    of_another_metric = group_pods(pods, samples, 0.0, is_cpu=False)
    assert of_another_metric.unready == ("waits",)


def test_sums_need_pods_metrics_and_requests() -> None:
    pods = [Pod("a", request_milli=500), Pod("b")]
    samples = {"a": Sample(100), "b": Sample(300), "c": Sample(900)}
    groups = group_pods(pods, samples, 0.0, is_cpu=False)
    assert add_up(pods, groups, samples, of_requests=False) == PodUsage(
        ready=2, value_milli=400, request_milli=500, unknown=1, unknown_value_milli=900
    )
    for which, given_pods, given_samples in (("request", pods, samples), ("no pods", [], {}), ("metrics", pods, {})):
        with pytest.raises(NoProposalError, match=which):
            add_up(
                given_pods,
                group_pods(given_pods, given_samples, 0.0, is_cpu=False),
                given_samples,
                of_requests=True,
            )


# --- the calculator -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "usage", "wanted"),
    [
        (4, busy(4, 500), 4),
        (4, busy(4, 559), 4),  # 55 % of 50: the edge of the tolerance
        (4, busy(4, 560), 5),  # ceil(1.12 * 4)
        (4, busy(4, 440), 4),  # ceil(0.88 * 4) is no less
        (4, busy(4, 1000), 8),
        (8, busy(4, 1000, unready=4), 8),  # as idle the unready bring it to the target
        (8, busy(4, 200, unready=4), 2),  # and are left out before it shrinks: ceil(0.4 * 4)
        (5, busy(4, 1000, missing=1), 8),  # as idle: 80 % of 50, ceil(1.6 * 5)
        (5, busy(4, 200, missing=1), 4),  # as fully busy: 36 % of 50, ceil(0.72 * 5)
        (5, busy(4, 400, missing=1), 5),  # which turns the direction: 52 % of 50
        (5, busy(4, 480, unready=1), 5),  # before it shrinks the unready do not count: 48 % of 50
        (25, busy(20, 675, missing=5), 25),  # as idle they bring it to 54 % of 50, within the tolerance
        (3, busy(4, 700, missing=1), 6),  # 56 % of 50: ceil(1.12 * 5)
        (9, busy(4, 700, missing=1), 9),  # which would be fewer than now, though more is called for
        (2, busy(4, 300, missing=1), 2),  # 44 % of 50: ceil(0.88 * 5) would be more, though less is called for
        (4, busy(2, 500, missing=2), 4),  # at the target nothing is assumed
    ],
)
def test_by_utilisation(current: int, usage: PodUsage, wanted: int) -> None:
    assert by_utilisation(current, usage, 50, TOLERANCE).replicas == wanted


@pytest.mark.parametrize(
    ("current", "usage", "wanted"),
    [
        (3, PodUsage(3, 60_000), 3),
        (3, PodUsage(3, 90_000), 5),
        (5, PodUsage(3, 30_000, missing_request_milli=(0, 0)), 4),  # as at the target: 14 of 20, ceil(0.7 * 5)
        (5, PodUsage(3, 60_000, missing_request_milli=(0, 0)), 5),  # at the target nothing is assumed
        (5, PodUsage(3, 150_000, missing_request_milli=(0, 0)), 8),  # as idle: 30 of 20, ceil(1.5 * 5)
        (5, PodUsage(3, 150_000, unready=2), 8),
        (3, PodUsage(3, 90_000, unknown=1, unknown_value_milli=10_000), 4),  # 25 of 20 each, of the 3 that count
    ],
)
def test_by_pod_average(current: int, usage: PodUsage, wanted: int) -> None:
    assert by_pod_average(current, usage, 20_000, TOLERANCE).replicas == wanted


def test_utilisation_targets_above_all_that_is_requested() -> None:
    """Missing pods then count as at the target: 150 and 200 of 200 make 83 %, ceil(0.83 * 3); else 58 %, two pods."""
    usage = PodUsage(2, 3000, 2000, missing_request_milli=(1000,))
    assert by_utilisation(3, usage, 200, TOLERANCE) == Proposal(3, 1500, 150)
    assert by_utilisation(3, PodUsage(2, 1600, 2000, missing_request_milli=(1000,)), 200, TOLERANCE).replicas == 2


@given(st.integers(1, 100), st.integers(0, 2000), st.integers(0, 2000), counts, st.integers(0, 20), st.integers(0, 20))
def test_a_busier_workload_never_gets_less(
    ready: int, one: int, other: int, current: int, unready: int, missing: int
) -> None:
    """At the same size: what `current` holds back in one direction it does not in the other."""
    less, more = sorted((one, other))
    answers = [
        by_utilisation(current, busy(ready, milli, unready=unready, missing=missing), 50, TOLERANCE).replicas
        for milli in (less, more)
    ]
    if unready == missing == 0 and current == ready:
        assert answers[0] <= answers[1]
    assert not answers[0] > current > answers[1]


@given(counts, counts, counts, st.integers(1, 10**6))
def test_totals_are_monotone(replicas: int, one: int, other: int, target: int) -> None:
    less, more = sorted((one * 1000, other * 1000))
    strict = Tolerance(0.0, 0.0)
    assert (
        by_average_value(replicas, less, target, strict).replicas
        <= by_average_value(replicas, more, target, strict).replicas
    )
    assert by_value(replicas, replicas, less, target, TOLERANCE).replicas <= max(
        replicas, by_value(replicas, replicas, more, target, TOLERANCE).replicas
    )


def test_numbers_do_not_wrap_round() -> None:
    assert by_value(3, 3, MOST_MILLI, 1, TOLERANCE) == Proposal(MOST_REPLICAS, MOST_MILLI)
    assert by_average_value(1, 5 * MOST_MILLI, MOST_MILLI, TOLERANCE).replicas == 1
    assert by_average_value(0, 0, 5, TOLERANCE) == Proposal(0, 0)
    assert by_utilisation(2, busy(2, MOST_MILLI), 1, TOLERANCE).replicas == MOST_REPLICAS


# --- several metrics ------------------------------------------------------------------------------------


def test_the_largest_proposal_wins_and_a_failure_forbids_to_shrink() -> None:
    four, two, lost = Proposal(4, 0), Proposal(2, 0), Failure("FailedGetPodsMetric")
    assert combine([two, four], 3).replicas == 4
    assert combine([lost, four], 3).replicas == 4
    assert combine([lost, two], 3).replicas is None
    assert combine([lost, two], 2).replicas == 2
    assert combine([lost, lost], 3).failure == lost


def test_a_metric_that_cannot_be_had_says_which() -> None:
    nothing = PodUsage(0, 0, unknown=1, unknown_value_milli=5)
    assert propose(CPU, nothing, 3, 3, TOLERANCE) == Failure(
        "FailedGetResourceMetric", "no metrics returned matched known pods"
    )
    whole = Metric(Source.OBJECT, "load", Target.VALUE, 1000)
    assert isinstance(propose(whole, Total(5000, None), 3, 3, TOLERANCE), Failure)
    assert propose(whole, Total(5000, None), 0, 0, TOLERANCE) == Proposal(5, 5000)


# --- stabilisation --------------------------------------------------------------------------------------


@given(counts, logs, st.sampled_from([0.0, 60.0, 300.0]))
def test_without_behaviours_it_only_holds_shrinking_back(desired: int, log: tuple, window_s: float) -> None:
    stable, after = stabilise(desired, log, 0.0, window_s)
    recent = [one.replicas for one in log if one.at_s >= -window_s]
    assert stable == max([desired, *recent])
    assert Recommendation(desired, 0.0) in after
    assert {one for one in log if one.at_s >= -window_s} <= set(after)
    assert len(log) <= len(after) <= len(log) + 1


@given(counts, counts, logs, st.sampled_from([0.0, 60.0, 300.0]), st.sampled_from([0.0, 60.0, 300.0]))
def test_stabilised_lies_between_the_current_size_and_the_recommendations(
    current: int, desired: int, log: tuple, up_s: float, down_s: float
) -> None:
    stable, _ = stabilise_both_ways(current, desired, log, 0.0, up_s, down_s)
    assert min(current, desired) <= stable <= max(current, desired) or stable in {one.replicas for one in log}
    wider, _ = stabilise_both_ways(current, desired, log, 0.0, up_s, down_s + 300.0)
    assert wider >= stable, "a longer look back lets it fall no faster"
    slower, _ = stabilise_both_ways(current, desired, log, 0.0, up_s + 300.0, 0.0)
    faster, _ = stabilise_both_ways(current, desired, log, 0.0, up_s, 0.0)
    assert slower <= faster


def test_a_recommendation_of_just_a_window_ago() -> None:
    log = (Recommendation(9, -300.0),)
    assert stabilise(3, log, 0.0, 300.0)[0] == 9
    assert stabilise_both_ways(9, 3, log, 0.0, 0.0, 300.0)[0] == 3


def test_the_place_of_a_new_recommendation() -> None:
    """That of the last one that neither window looks back to, else the end."""
    log = tuple(Recommendation(n, -age_s) for n, age_s in ((1, 500.0), (2, 100.0), (3, 400.0), (4, 10.0)))

    def placed(up_s: float, down_s: float) -> list[int]:
        return [one.replicas for one in stabilise_both_ways(4, 9, log, 0.0, up_s, down_s)[1]]

    assert placed(300.0, 60.0) == placed(60.0, 300.0) == [1, 2, 9, 4]
    assert placed(450.0, 0.0) == [9, 2, 3, 4]
    assert placed(500.0, 0.0) == [1, 2, 3, 4, 9]
    assert [one.replicas for one in stabilise(9, log, 0.0, 300.0)[1]] == [1, 2, 9, 4]


# --- limits ---------------------------------------------------------------------------------------------


@given(st.integers(1, 200), counts, bounds(), behaviours, events, events)
def test_a_change_is_bounded_and_keeps_its_direction(
    current: int, desired: int, given_bounds: Bounds, behaviour: Behaviour | None, ups: tuple, downs: tuple
) -> None:
    least, most = given_bounds.least, given_bounds.most
    current = min(max(current, least), most)
    if behaviour is None:
        found = clamp(current, desired, given_bounds).replicas
        assert found <= max(4, 2 * current, least)
    else:
        found = clamp_by_rules(current, desired, given_bounds, behaviour.up, behaviour.down, ups, downs, 0.0).replicas
        for rule, moves in ((behaviour.up, found > current), (behaviour.down, found < current)):
            assert not (moves and rule.select is Select.DISABLED)
    assert least <= found <= most
    assert (found - current) * (desired - current) >= 0
    assert abs(found - current) <= abs(desired - current) or desired < least


@given(st.integers(1, 200), rules, events, events, st.sampled_from(Direction))
def test_min_changes_no_more_than_max(
    current: int, given_rules: Rules, ups: tuple, downs: tuple, direction: Direction
) -> None:
    most, least = (
        limit(direction, current, Rules(given_rules.policies, select), ups, downs, 0.0)
        for select in (Select.MAX, Select.MIN)
    )
    assert most >= least if direction is Direction.UP else most <= least


def test_growth_counts_what_was_grown_in_the_period() -> None:
    up = Rules((RatePolicy(PODS, 4, 60.0), RatePolicy(PERCENT, 10, 60.0)))
    assert limit(Direction.UP, 10, up, (), (), 0.0) == 14
    assert limit(Direction.UP, 10, up, (Event(3, -30.0),), (), 0.0) == 11
    assert limit(Direction.UP, 10, up, (Event(3, -60.0),), (), 0.0) == 14, "just a period ago does not count"
    assert limit(Direction.UP, 10, up, (), (Event(2, -30.0),), 0.0) == 16, "two were there when the period began"
    assert limit(Direction.UP, 100, Rules((RatePolicy(PERCENT, 1, 60.0),)), (), (), 0.0) == 101
    assert limit(Direction.DOWN, 5, Rules((RatePolicy(PERCENT, 50, 60.0),)), (), (), 0.0) == 2


def test_select_and_the_reason_for_a_limit() -> None:
    two = (RatePolicy(PODS, 1, 60.0), RatePolicy(PERCENT, 50, 60.0))
    reached = {
        (direction, select): limit(direction, 10, Rules(two, select), (), (), 0.0)
        for direction in Direction
        for select in Select
    }
    up, down = Direction.UP, Direction.DOWN
    assert [reached[up, select] for select in (Select.MAX, Select.MIN, Select.DISABLED)] == [15, 11, 10]
    assert [reached[down, select] for select in (Select.MAX, Select.MIN, Select.DISABLED)] == [5, 9, 10]

    def why(desired: int, given_bounds: Bounds) -> tuple[int, str]:
        found = clamp_by_rules(10, desired, given_bounds, Rules(two), Rules(two), (), (), 0.0)
        return found.replicas, found.reason

    assert why(99, Bounds(1, 50)) == (15, "ScaleUpLimit")
    assert why(99, Bounds(1, 15)) == (15, "TooManyReplicas")
    assert why(1, Bounds(1, 50)) == (5, "ScaleDownLimit")
    assert why(1, Bounds(5, 50)) == (5, "TooFewReplicas")
    assert why(12, Bounds(1, 50)) == (12, "DesiredWithinRange")
    spent = (Event(8, -5.0),)
    assert clamp_by_rules(10, 99, Bounds(1, 50), Rules(two), Rules(two), spent, (), 0.0).replicas == 10


def test_the_place_of_a_new_event() -> None:
    log = tuple(Event(n, -age_s) for n, age_s in ((1, 90.0), (2, 20.0), (3, 61.0), (4, 60.0)))
    after = store(log, 9, 0.0, 60.0)
    assert [(event.change, event.is_outdated) for event in after] == [(1, True), (2, False), (9, False), (4, False)]


@given(events, st.integers(1, 40), st.sampled_from([15.0, 60.0, 120.0]))
def test_a_log_of_events_forgets_only_what_no_policy_looks_back_to(
    before: tuple, change: int, longest_s: float
) -> None:
    after = store(before, change, 0.0, longest_s)
    assert change_within(longest_s, after, 0.0) == change_within(longest_s, before, 0.0) + change
    assert len(before) <= len(after) <= len(before) + 1


# --- the sync -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 1500), min_size=1, max_size=40), bounds(), behaviours, st.integers(1, 150))
def test_a_run_of_syncs_stays_within_bounds_and_the_default_window_holds(
    loads: list[int], given_bounds: Bounds, behaviour: Behaviour | None, first: int
) -> None:
    spec = HpaSpec(given_bounds, (CPU,), behaviour)
    memory, replicas = Memory(), min(max(first, given_bounds.least), given_bounds.most)
    sizes = [replicas]
    for step, load in enumerate(loads):
        done = sync(spec, [busy(replicas, load)], replicas, replicas, memory, 15.0 * step)
        replicas, memory = done.replicas, done.memory
        assert given_bounds.least <= replicas <= given_bounds.most
        sizes.append(replicas)
    if behaviour is None:
        assert min(sizes[:22]) == sizes[0], "what it began with holds for 300 s, which are 21 syncs"
        assert all(b <= max(4, 2 * a) or b == given_bounds.least for a, b in pairwise(sizes))


def falling(spec: HpaSpec, syncs: int) -> list[int]:
    """Sizes of ten replicas that are idle from now on."""
    memory, replicas, sizes = Memory(), 10, []
    for step in range(syncs):
        done = sync(spec, [busy(replicas, 0)], replicas, replicas, memory, 15.0 * step)
        replicas, memory = done.replicas, done.memory
        sizes.append(replicas)
    return sizes


def test_idle_replicas_stay_for_five_minutes() -> None:
    plain, full = HpaSpec(Bounds(1, 20), (CPU,)), HpaSpec(Bounds(1, 20), (CPU,), Behaviour())
    assert falling(plain, 23) == [10] * 21 + [1] * 2
    assert falling(full, 23) == [10] * 20 + [1] * 3
    slow = Behaviour(down=Rules((RatePolicy(PODS, 2, 60.0),)))
    assert falling(HpaSpec(Bounds(1, 20), (CPU,), slow), 10) == [8] * 4 + [6] * 4 + [4] * 2
    never = Behaviour(down=Rules((RatePolicy(PODS, 2, 60.0),), Select.DISABLED))
    assert falling(HpaSpec(Bounds(1, 20), (CPU,), never), 30) == [10] * 30


def test_growth_with_and_without_behaviours() -> None:
    """Without, it is to twice the size or 4; with the defaults by 100 % or 4 pods, whichever is more."""
    for behaviour, wanted in ((None, [4, 8, 16, 20]), (Behaviour(), [5, 10, 20, 20])):
        spec, memory, replicas, sizes = HpaSpec(Bounds(1, 20), (CPU,), behaviour), Memory(), 1, []
        for step in range(4):
            done = sync(spec, [busy(replicas, 50_000)], replicas, replicas, memory, 15.0 * step)
            replicas, memory = done.replicas, done.memory
            sizes.append(replicas)
        assert sizes == wanted


def test_conditions() -> None:
    spec = HpaSpec(Bounds(2, 6), (CPU,))

    def of(replicas: int, milli: int, memory: Memory | None = None) -> Synced:
        return sync(spec, [busy(replicas, milli)], replicas, replicas, memory or Memory(), 0.0)

    assert of(3, 500).conditions == {
        "ScalingActive": "ValidMetricFound",
        "AbleToScale": "ReadyForNewScale",
        "ScalingLimited": "DesiredWithinRange",
    }
    assert of(5, 100).conditions["AbleToScale"] == "ScaleDownStabilized"
    assert of(5, 100, Memory(log=())).conditions["AbleToScale"] == "SucceededRescale"
    assert of(5, 10, Memory(log=())).conditions["ScalingLimited"] == "TooFewReplicas"
    assert of(5, 1000).conditions["ScalingLimited"] == "TooManyReplicas"
    assert of(0, 1000).conditions["ScalingActive"] == "ScalingDisabled"
    assert (of(1, 0).replicas, of(9, 0).replicas) == (2, 6), "bounds apply at once"


def test_to_zero_and_back_is_remembered() -> None:
    """Only where the gate is open, and only by a metric that can be had of no pod."""
    spec, gate = HpaSpec(Bounds(0, 6), (RATE,)), Controller(down_window_s=0.0, scales_to_zero=True)
    asleep = sync(spec, [Total(0, 3)], 3, 3, Memory(log=()), 0.0, gate)
    assert (asleep.replicas, asleep.memory.is_scaled_to_zero) == (0, True)
    awake = sync(spec, [Total(25_000, None)], 0, 0, asleep.memory, 15.0, gate)
    assert (awake.replicas, awake.memory.is_scaled_to_zero) == (3, False)
    raised = sync(HpaSpec(Bounds(2, 6), (RATE,)), [Total(5000, None)], 0, 0, asleep.memory, 15.0, gate)
    assert (raised.replicas, raised.conditions["ScalingLimited"]) == (2, "TooFewReplicas"), "by its metrics"
    by_hand = sync(spec, [Total(25_000, None)], 0, 0, Memory(), 15.0, gate)
    assert (by_hand.replicas, by_hand.conditions["ScalingActive"]) == (0, "ScalingDisabled")
    assert sync(spec, [Total(25_000, None)], 0, 0, asleep.memory, 15.0).replicas == 0, "the gate is closed"
