"""The Horizontal Pod Autoscaler by hand: the calculator's rules, stabilisation and growth limits."""

from __future__ import annotations

import pytest

from optimizer.policies.hpa import HpaOptions, Metric, StageScaler, desired_pods


@pytest.mark.parametrize(
    ("current", "metric", "wanted"),
    [
        (3, Metric(3, 0.65), 3),  # on target
        (3, Metric(3, 0.715), 3),  # ratio 1.1: the edge of the tolerance
        (3, Metric(3, 0.73), 4),  # ratio 1.123: ceil(3 * 1.123)
        (3, Metric(3, 0.585), 3),  # ratio 0.9: the other edge
        (10, Metric(10, 0.50), 8),  # ceil(10 * 0.769)
        (4, Metric(4, 1.0), 7),  # saturated: ceil(4 / 0.65)
        (4, Metric(4, 0.0), 0),  # idle; the minimum is applied later
        (6, Metric(4, 1.0, unready=2), 6),  # with the unready as idle (4 + 0) / 6 / 0.65 = 1.026: within the tolerance
        (8, Metric(4, 1.0, unready=4), 8),  # ratio turns below 1 with the unready as idle: nothing changes
        (6, Metric(4, 0.3, unready=2), 2),  # shrinking leaves the unready out: ceil(4 * 0.4615)
        (5, Metric(4, 1.0, missing=1), 7),  # the missing one counts as idle: ceil(5 * 1.2308)
        (5, Metric(4, 0.2, missing=1), 3),  # the missing one counts as fully busy: ceil(5 * 0.5538)
        (5, Metric(4, 0.6, missing=1), 5),  # shrinking turned by the missing one: nothing changes
        (3, Metric(0, 0.0, unready=3), 3),  # no metric at all: nothing changes
    ],
)
def test_replica_calculator(current: int, metric: Metric, wanted: int) -> None:
    assert desired_pods(current, metric, target=0.65, tolerance=0.1) == wanted


def scaler(pods: int, **options: float) -> StageScaler:
    return StageScaler(HpaOptions(**options), pods)  # type: ignore[arg-type]


def test_shrinks_only_to_the_largest_recommendation_of_the_window() -> None:
    stage = scaler(10)
    assert stage.sync(0.0, Metric(10, 0.65)) == 10
    assert [stage.sync(t, Metric(10, 0.2)) for t in (60.0, 120.0, 180.0, 240.0, 300.0)] == [10] * 5
    assert stage.sync(360.0, Metric(10, 0.3)) == 5  # the recommendation of 10 is 360 s old; 4s and this 5 are left


def test_without_stabilisation_it_shrinks_at_once() -> None:
    assert scaler(10, stabilisation_s=0.0).sync(0.0, Metric(10, 0.2)) == 4


def test_growth_is_limited_to_four_pods_or_double() -> None:
    stage = scaler(1, target=0.05)
    assert stage.sync(0.0, Metric(1, 1.0)) == 5
    assert stage.sync(15.0, Metric(5, 1.0)) == 10
    assert stage.sync(30.0, Metric(10, 1.0)) == 20


def test_an_interval_of_several_periods_allows_as_many_steps() -> None:
    stage = scaler(1, target=0.01)
    stage.sync(0.0, Metric(1, 0.01))
    assert stage.sync(60.0, Metric(1, 1.0)) == 40  # 1 -> 5 -> 10 -> 20 -> 40


def test_bounds() -> None:
    stage = scaler(3, min_replicas=2, max_replicas=4, stabilisation_s=0.0)
    assert stage.sync(0.0, Metric(3, 1.0)) == 4
    assert stage.sync(60.0, Metric(4, 0.0)) == 2


def test_any_factor_gives_a_number_of_pods() -> None:
    scaler = StageScaler(HpaOptions(scale_up_factor=1e300), 2)
    assert [scaler.sync(60.0 * k, Metric(ready=2, busy=1.0)) for k in range(2)] == [4, 4]
