"""The policy around the autoscaler: its clock, what it reads of a stage, its options, manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.autoscalers.hpa.metrics import Failure, Metric, Source, Target, Total
from optimizer.autoscalers.hpa.usage import PodUsage
from optimizer.policies.hpa import Hpa, HpaOptions, StageScaler
from optimizer.policies.hpa_readings import KNOWN, StageView, Viewer, reading
from optimizer.registry import make_policy, validate_spec
from tests.optimizer.factory import context, facts, observation
from workloads.errors import InputError

RATES = np.full((2, 6), 300.0)
CPU = Metric(Source.RESOURCE, "cpu", Target.UTILISATION, 65)


def scaler(pods: int, **options: Any) -> StageScaler:
    return StageScaler(HpaOptions(**options).spec(), pods)


def busy(ready: int, share: float) -> StageView:
    return StageView(ready, ready, share)


# --- the clock ------------------------------------------------------------------------------------------


def test_it_synchronises_at_multiples_of_15_s() -> None:
    """To 5, 10, 20 and 40 here: as many steps as syncs lie in the interval."""
    for ends, wanted in (((10.0, 20.0, 30.0), [1, 5, 10]), ((15.0, 60.0), [5, 40]), ((60.0,), [40])):
        stage, before_s, sizes = scaler(1, target=0.01), 0.0, []
        for end_s in ends:
            sizes.append(stage.advance(before_s, end_s, busy(1, 1.0)))
            before_s = end_s
        assert [min(size, 40) for size in sizes] == wanted


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12), st.integers(1, 60))
def test_how_an_interval_is_divided_does_not_matter(shares: list[float], pods: int) -> None:
    """One minute a share: four decisions of 15 s each, or one of 60 s."""
    fine, coarse = scaler(pods), scaler(pods)
    for minute, share in enumerate(shares):
        start_s = 60.0 * minute
        for quarter in range(4):
            fine.advance(start_s + 15.0 * quarter, start_s + 15.0 * (quarter + 1), busy(pods, share))
        assert coarse.advance(start_s, start_s + 60.0, busy(pods, share)) == fine.pods


def test_shrinks_only_to_the_largest_recommendation_of_the_window() -> None:
    stage = scaler(10)
    assert stage.advance(0.0, 60.0, busy(10, 0.65)) == 10
    sizes = [stage.advance(60.0 * k, 60.0 * (k + 1), busy(10, 0.2 + 0.1 * (k > 4))) for k in range(1, 7)]
    assert sizes == [10, 10, 10, 10, 5, 5], "the last 10 is of 60 s; at 360 s it is 300 s old and counts no more"


def test_without_stabilisation_it_shrinks_at_once() -> None:
    assert scaler(10, stabilisation_s=0.0).advance(0.0, 15.0, busy(10, 0.2)) == 4


def test_bounds() -> None:
    stage = scaler(3, min_replicas=2, max_replicas=4, stabilisation_s=0.0)
    assert stage.advance(0.0, 60.0, busy(3, 1.0)) == 4
    assert stage.told() == "100 % of 3 busy (TooManyReplicas)"
    assert stage.advance(60.0, 120.0, busy(4, 0.0)) == 2


def test_any_factor_gives_a_number_of_pods() -> None:
    stage = StageScaler(HpaOptions(scale_up_factor=1e300).spec(), 2)
    assert [stage.advance(60.0 * k, 60.0 * (k + 1), busy(2, 1.0)) for k in range(2)] == [4, 4]


# --- what it reads --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pods", "view", "wanted"),
    [
        (3, busy(3, 0.65), 3),
        (3, busy(3, 0.72), 4),  # 72 of 65 per cent: ceil(3 * 1.1077)
        (3, busy(3, 0.719), 3),  # rounded down to 71: within the tolerance
        (4, busy(4, 1.0), 7),
        (6, busy(4, 1.0), 6),  # two are not ready; as idle they bring it within the tolerance
        (6, busy(4, 0.3), 2),  # and are left out before it shrinks
        (5, StageView(5, 4, 1.0), 7),  # one reports nothing and counts as idle
        (5, StageView(5, 4, 0.2), 3),  # or as fully busy
        (3, StageView(0, 0, float("nan")), 3),  # nobody reports: nothing changes
        (2, busy(5, 0.65), 2),  # at the target nothing changes, even where more are ready than it asked for
    ],
)
def test_busy_replicas(pods: int, view: StageView, wanted: int) -> None:
    assert scaler(pods, stabilisation_s=0.0).advance(0.0, 15.0, view) == wanted


def test_metrics_of_an_observation() -> None:
    fleet = facts()
    ready, fraction = np.zeros((4, 2), np.int64), np.full((4, 2), np.nan)
    ready[2], ready[3], fraction[2], fraction[3, 1] = (4, 2), (0, 2), (0.5, 0.2), 0.8
    served = np.zeros((4, 2), np.int64)
    served[2] = 6000, 1200
    seen = observation(
        fleet,
        2,
        RATES,
        ready=ready,
        busy_fraction=fraction,
        served_requests=served,
        queue_requests=np.array([1, 2, 12]),
        rejected=np.array([0, 30]),
        p99_s=np.array([0.05, 0.25]),
        stage_waiting=np.array([0.0, 0.0, 7.0]),
        stage_computing=np.array([0.0, 0.0, 33.0]),
    )
    none, _, video = Viewer(fleet, [set(), set(), set(KNOWN)]).read(seen)
    assert none == StageView(0, 0, none.busy)
    assert none.values is None
    assert (video.ready, video.reporting, video.busy) == (8, 8, pytest.approx(0.5))
    assert video.values == pytest.approx(
        {
            "requests_per_second": 300.0,
            "served_per_second": 120.0,
            "queue_length": 12.0,
            "outstanding": 40.0,
            "rejected_per_second": 0.5,
            "gpu_utilization": 50.0,
            "latency_p50_ms": np.nan,
            "latency_p95_ms": np.nan,
            "latency_p99_ms": 250.0,
        },
        nan_ok=True,
    )


def test_how_metrics_become_readings() -> None:
    view = StageView(4, 4, 0.5, values={"queue_length": 12.0, "gpu_utilization": 50.0, "latency_p99_ms": float("nan")})

    def of(source: Source, name: str, target: Target = Target.AVERAGE_VALUE, view: StageView = view) -> Any:
        return reading(Metric(source, name, target, 1), view, {"theirs": "queue_length"}, 6)

    assert of(Source.PODS, "queue_length") == PodUsage(4, 12_000, unready=2)
    assert of(Source.PODS, "theirs") == PodUsage(4, 12_000, unready=2)
    assert of(Source.PODS, "gpu_utilization") == PodUsage(4, 200_000, unready=2), "each pod shows 50"
    assert of(Source.EXTERNAL, "queue_length") == Total(12_000, 4)
    assert of(Source.OBJECT, "gpu_utilization", Target.VALUE) == Total(50_000, 4)
    assert of(Source.RESOURCE, "gpu") == PodUsage(4, 2000, 4000, 2, 2000)
    assert of(Source.PODS, "latency_p99_ms") == Failure("FailedGetPodsMetric", "no latency_p99_ms")
    nobody = StageView(0, 0, float("nan"), values={"queue_length": 12.0})
    assert isinstance(of(Source.PODS, "queue_length", view=nobody), Failure)
    assert of(Source.EXTERNAL, "queue_length", view=nobody) == Total(12_000, 0)


# --- manifests as options -------------------------------------------------------------------------------

MANIFEST = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: rank}
spec:
  minReplicas: 2
  maxReplicas: 9
  metrics:
    - type: Pods
      pods:
        metric: {name: METRIC}
        target: {type: AverageValue, averageValue: "50"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rate.yaml").write_text(MANIFEST.replace("METRIC", "requests_per_second"))
    (tmp_path / "theirs.yaml").write_text(MANIFEST.replace("METRIC", "http_requests"))
    return tmp_path


def wanted(spec: dict[str, Any], base: Path) -> list[int]:
    """Pods of each stage after a minute in which each had 4 replicas for 300 requests/s, fully busy."""
    fleet = facts()
    policy = make_policy({"name": "hpa", **spec}, context(fleet, RATES), base=base)
    assert isinstance(policy, Hpa)
    policy.decide(observation(fleet, 0, RATES))
    ready = np.zeros((4, 2), np.int64)
    ready[[0, 1, 2], 0] = 4
    policy.decide(observation(fleet, 1, RATES, ready=ready, busy_fraction=np.where(ready > 0, 1.0, np.nan)))
    return [scaler.pods for scaler in policy._autoscalers]


def test_a_manifest_for_every_stage_or_for_some(folder: Path) -> None:
    assert wanted({"manifest": "rate.yaml"}, folder) == [6, 6, 6], "300 requests/s at 50 each"
    theirs = {"manifest": "theirs.yaml", "metric_names": {"http_requests": "requests_per_second"}}
    assert wanted(theirs, folder) == [6, 6, 6]
    some = {"manifest": {"video/rank": "rate.yaml"}, "target": 0.5, "max_replicas": 7}
    assert wanted(some, folder) == [7, 7, 6]
    assert wanted({"manifest": {"retrieve": "rate.yaml"}, "max_replicas": 3}, folder) == [6, 3, 3]
    assert wanted({"manifest": {"video/rank": str(folder / "rate.yaml")}, "max_replicas": 3}, Path("/")) == [3, 3, 6]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"manifest": "absent.yaml"}, "absent.yaml: cannot be read"),
        (
            {"manifest": "theirs.yaml"},
            "theirs.yaml metrics: a stage has no metric 'http_requests'; use one",
        ),
        ({"manifest": "rate.yaml", "target": 0.5}, "option target: it is given beside manifest"),
        ({"manifest": 5}, "option manifest: 5 is no path"),
        ({"manifest": {"video/rank": 5}}, "option manifest: {'video/rank': 5} is no path"),
        ({"metric_names": {"a": "queue_lenght"}}, "option metric_names a: there is no metric 'queue_lenght'; did you"),
        ({"metric_names": {"a": ["queue_length"]}}, "option metric_names a: there is no metric ['queue_length']"),
        ({"metric_names": ["a"]}, "option metric_names: ['a'] is not a mapping"),
    ],
)
def test_wrong_options_are_told_before_a_run(folder: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_spec({"name": "hpa", **options}, base=folder)
    assert told in str(caught.value)
    assert str(caught.value).startswith("policy hpa option ")


def test_a_manifest_of_a_stage_that_is_not_there(folder: Path) -> None:
    with pytest.raises(InputError, match="policy hpa manifest video/rnk: the scenario has no such stage; did you mean"):
        wanted({"manifest": {"video/rnk": "rate.yaml"}}, folder)


def test_what_limits_a_stage_is_in_the_note(folder: Path) -> None:
    fleet = facts()
    policy = make_policy({"name": "hpa", "max_replicas": 5}, context(fleet, RATES))
    assert "shop/retrieve begins, wants 1" in policy.decide(observation(fleet, 0, RATES)).note
    ready = np.zeros((4, 2), np.int64)
    ready[0, 0] = 4
    note = policy.decide(observation(fleet, 1, RATES, ready=ready, busy_fraction=np.where(ready > 0, 1.0, np.nan))).note
    assert "shop/retrieve 100 % of 4 busy (TooManyReplicas), wants 5" in note
    assert "shop/rank nobody reports (FailedGetResourceMetric), wants 2" in note
