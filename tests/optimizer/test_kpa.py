"""The Knative Pod Autoscaler's rules: the project's own cases, and what holds for any load."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.autoscalers.kpa import CALM, KpaRules, Load, Panic, decide, start_panic
from optimizer.autoscalers.kpa_last_pod import Activity, LastPodRules, Scaling, bounded, last_pod
from optimizer.autoscalers.kpa_sampling import sample_size
from optimizer.autoscalers.kpa_target import resolve_target
from optimizer.autoscalers.kpa_windows import ExponentialWindow, LinearWindow, MaximumWindow, bucket_count, bucket_of
from optimizer.conformance.case import PROJECTS
from tests.optimizer.published_cases import cases_of, failures

RULES = KpaRules(target=10.0, total=10.0)
loads = st.floats(0.0, 1e5)


def test_every_published_case_passes() -> None:
    assert failures("kpa") == {}


def test_a_wrong_expectation_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    text = cases_of("kpa").read_text().replace("kpa101,scrape_sample_size", "kpa101,scrape_sample_size_x")
    assert "kpa003,scale" in text
    path = tmp_path_factory.mktemp("cases") / "kpa_cases.csv"
    path.write_text(text.replace(",0,0,,0,0,1,,,,,\nkpa004", ",0,0,,1,0,1,,,,,\nkpa004"))
    failed = {case.case_id: case.reason for case in PROJECTS["kpa"].check(path) if not case.passed}
    assert failed == {
        "kpa003": "pods: expected 1, came 0",
        "kpa101": "rows of kind 'scrape_sample_size_x' are not modelled",
    }


@given(loads, loads, st.integers(0, 200), st.floats(1.1, 20.0), st.floats(1.1, 20.0))
def test_one_evaluation_keeps_the_rates(stable: float, panic: float, ready: int, up: float, down: float) -> None:
    rules = KpaRules(target=10.0, total=10.0, up_rate=up, down_rate=down)
    pods = decide(rules, CALM, 0.0, ready, Load(stable, panic))[0].pods
    assert math.floor(max(1, ready) / down) <= pods <= math.ceil(up * max(1, ready))


@given(st.lists(st.tuples(st.floats(0.5, 90.0), loads, loads, st.integers(0, 50)), max_size=20))
def test_pods_never_fall_while_panic_lasts(steps: list[tuple[float, float, float, int]]) -> None:
    panic, now_s, before = CALM, 0.0, 0
    for gap_s, stable, urgent, ready in steps:
        now_s += gap_s
        was = panic
        decision, panic = decide(RULES, panic, now_s, ready, Load(stable, urgent))
        if panic.since_s is not None and was.since_s is not None:
            assert decision.pods >= before
        if panic.since_s is not None:
            assert now_s - panic.since_s <= RULES.stable_window_s
            assert panic.most_pods == decision.pods
        before = decision.pods


def test_panic_ends_after_more_than_the_stable_window() -> None:
    panic = Panic(0.0, 8)
    assert decide(RULES, panic, 60.0, 8, Load(10.0, 10.0))[0].pods == 8
    assert decide(RULES, panic, 60.1, 8, Load(10.0, 10.0)) == (decide(RULES, CALM, 60.1, 8, Load(10.0, 10.0))[0], CALM)


def test_it_starts_in_panic_with_more_than_one_pod() -> None:
    assert [start_panic(pods, 5.0).since_s for pods in (0, 1, 2)] == [None, None, 5.0]


def test_without_a_metric_nothing_is_decided() -> None:
    decision, panic = decide(RULES, Panic(3.0, 4), 9.0, 2, None)
    assert not decision.is_valid
    assert panic == Panic(3.0, 4)


@pytest.mark.parametrize(("capacity", "spare"), [(0.0, 0.0), (-1.0, -1.0), (7.0, 8.0), (20.0, -5.0)])
def test_spare_burst(capacity: float, spare: float) -> None:
    rules = KpaRules(target=7.0, total=10.0, burst_capacity=capacity)
    assert decide(rules, CALM, 0.0, 2, Load(5.0, 5.0))[0].spare_burst == spare


def test_targets() -> None:
    assert resolve_target("concurrency") == (70.0, 100.0)
    assert resolve_target("rps") == (140.0, 200.0)
    assert resolve_target("concurrency", container_concurrency=8) == pytest.approx((5.6, 8.0))
    assert resolve_target("rps", container_concurrency=8, annotated_target=50) == pytest.approx((35.0, 50.0))


@given(st.integers(1, 12), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=40))
def test_maximum_window_is_the_largest_of_its_buckets(buckets: int, steps: list[tuple[int, int]]) -> None:
    window, bucket, seen = MaximumWindow(buckets), 0, []
    for gap, value in steps:
        bucket += gap
        seen.append((bucket, value))
        expected = max(v for at, v in seen if at > bucket - buckets)
        assert window.record(bucket, value) == expected


@given(st.integers(1, 12), st.lists(st.floats(0.0, 1e4), min_size=1, max_size=40))
def test_linear_window_is_the_mean_of_what_it_has(buckets: int, values: list[float]) -> None:
    window = LinearWindow(buckets)
    for bucket, value in enumerate(values):
        window.record(bucket, value)
        recent = values[max(0, bucket - buckets + 1) : bucket + 1]
        assert window.average(bucket) == pytest.approx(sum(recent) / len(recent), abs=1e-6)


def test_linear_window_with_gaps() -> None:
    window = LinearWindow(5)
    assert window.average(0) is None
    window.record(0, 10.0)
    window.record(2, 2.0)
    window.record(2, 3.0)
    assert window.average(2) == 5.0  # 10, 0 and 2 + 3 over three buckets
    assert window.average(5) == 2.5  # buckets 1 and 2 are left of the window
    assert window.average(7) == 0.0
    window.record(9, 4.0)
    assert window.average(9) == 4.0  # a new beginning


@given(st.integers(1, 60), st.floats(0.1, 1e4))
def test_exponential_window_of_a_steady_load_approaches_it_from_below(buckets: int, load: float) -> None:
    window = ExponentialWindow(buckets)
    averages = []
    for bucket in range(buckets):
        window.record(bucket, load)
        averages.append(window.average(bucket) or 0.0)
    assert averages == sorted(averages)
    assert 0.9998 * load - 1e-6 <= averages[-1] <= load


def test_exponential_window_forgets_faster_than_the_linear_one() -> None:
    linear, exponential = LinearWindow(60), ExponentialWindow(60)
    for window in (linear, exponential):
        for bucket in range(70):
            window.record(bucket, 0.0 if bucket < 60 else 100.0)
    assert (exponential.average(69) or 0.0) > 85.0 > (linear.average(69) or 0.0)


def test_buckets() -> None:
    assert [bucket_of(t, 2.0) for t in (0.0, 1.9, 2.0, 600.0)] == [0, 0, 1, 300]
    assert [bucket_count(w, 2.0) for w in (1.0, 300.0, 301.0)] == [1, 150, 151]


def test_sample_never_exceeds_the_pods() -> None:
    sizes = [sample_size(pods) for pods in range(2000)]
    assert all(size <= pods for pods, size in enumerate(sizes))
    assert sizes == sorted(sizes)
    assert max(sizes) == 16


def last_pod_goes_at(rules: LastPodRules, spare_burst: float, step_s: float = 2.0) -> float:
    """When the last pod goes of a revision that became active at 0 and of which no pod is wanted from then on."""
    activity, now_s = Activity(True, 0.0), 0.0
    while True:
        pods, activity = last_pod(rules, activity, now_s, 0, spare_burst)
        if pods == 0 or now_s > 1e4:
            return now_s
        now_s += step_s


def test_last_pod() -> None:
    assert last_pod_goes_at(LastPodRules(), spare_burst=5.0) == 90.0  # stable window, then the grace period
    assert last_pod_goes_at(LastPodRules(), spare_burst=-5.0) == 62.0  # the activator was in the path all the time
    assert last_pod_goes_at(LastPodRules(retention_s=20.0), spare_burst=-5.0) == 80.0
    assert last_pod_goes_at(LastPodRules(retention_s=50.0), spare_burst=5.0) == 110.0
    assert last_pod_goes_at(LastPodRules(is_allowed=False), spare_burst=5.0) > 1e4


def test_traffic_makes_a_revision_active_again() -> None:
    pods, activity = last_pod(LastPodRules(), Activity(False, 10.0, 5.0), 20.0, 3, spare_burst=4.0)
    assert (pods, activity) == (3, Activity(True, 20.0, None))
    again = last_pod(LastPodRules(), activity, 22.0, 0, spare_burst=4.0)
    assert again == (1, activity)


def test_bounds() -> None:
    assert [bounded(n, Scaling(2, 5)) for n in (0, 3, 9)] == [2, 3, 5]
    assert bounded(10**6, Scaling()) == 10**6
