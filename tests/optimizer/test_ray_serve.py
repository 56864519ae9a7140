"""Ray Serve's autoscaling rules: the project's own cases, and what holds for any deployment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.autoscalers.ray_serve import (
    IDLE,
    Deployment,
    Pending,
    ServeRules,
    bounded,
    decide,
    delayed,
    queue_length,
    with_factors,
)
from optimizer.autoscalers.ray_serve_gangs import whole_gangs, within_bounds
from optimizer.autoscalers.ray_serve_metrics import LookBack
from optimizer.conformance.case import PROJECTS
from tests.optimizer.published_cases import cases_of, failures
from workloads.errors import InputError

counts = st.integers(0, 60)


def test_every_published_case_passes() -> None:
    assert failures("ray_serve") == {}


def test_a_wrong_expectation_fails(tmp_path_factory: pytest.TempPathFactory) -> None:
    text = cases_of("ray_serve").read_text()
    row = next(line for line in text.splitlines() if line.startswith("ray012,"))
    path = tmp_path_factory.mktemp("cases") / "rayserve_cases.csv"
    path.write_text(text.replace(row, row[:-1] + "3"))
    failed = {case.case_id: case.reason for case in PROJECTS["ray_serve"].check(path) if not case.passed}
    assert failed == {"ray012": "replicas: expected 3, came 2 at call 1, 30 s"}


@given(st.floats(0.0, 500.0), st.integers(1, 60), st.floats(0.05, 1.0))
def test_factors_of_at_most_one_stay_between(wanted: float, running: int, factor: float) -> None:
    reached = with_factors(ServeRules(upscaling_factor=factor, downscaling_factor=factor), wanted, running)
    assert min(running, wanted) - 1 <= reached <= max(running, wanted + 1)
    if wanted <= running - 1:
        assert reached < running


@given(counts, counts, st.floats(0.0, 900.0), st.floats(0.1, 60.0))
def test_a_direction_waits_for_its_delay(target: int, wanted: int, delay_s: float, step_s: float) -> None:
    rules = ServeRules(upscale_delay_s=delay_s, downscale_delay_s=delay_s)
    pending, now_s = IDLE, 0.0
    for _ in range(200):
        found, pending = delayed(rules, pending, now_s, target, wanted)
        if found != target:
            assert now_s >= delay_s - 1e-3
            assert found == (wanted if wanted > target or target == 1 else max(1, wanted))
            return
        now_s += step_s
    assert wanted == target or now_s <= delay_s + step_s


def test_a_break_begins_the_delay_anew() -> None:
    rules = ServeRules(upscale_delay_s=30.0)
    _, pending = delayed(rules, IDLE, 0.0, 2, 5)
    _, pending = delayed(rules, pending, 29.0, 2, 2)
    assert pending == IDLE
    assert delayed(rules, pending, 31.0, 2, 5) == (2, Pending(1, 31.0))


def test_requests_wake_a_deployment_at_once() -> None:
    rules = ServeRules(min_replicas=0, max_replicas=9, upscaling_factor=2.5)
    assert decide(rules, IDLE, 0.0, Deployment(running=0, target=0, ongoing=0.1)) == (3, IDLE)
    assert decide(rules, IDLE, 0.0, Deployment(running=0, target=4, ongoing=9.0)) == (4, IDLE)
    assert decide(rules, IDLE, 0.0, Deployment(running=0, target=0, ongoing=0.0)) == (0, IDLE)


def test_queue_length_is_little_s_target() -> None:
    assert queue_length(ServeRules(target_ongoing_requests=4.0), Deployment(3, 3, 18.0)) == 4.5


@given(counts, counts, counts, st.integers(1, 7))
def test_bounds_are_whole_gangs(replicas: int, least: int, room: int, gang: int) -> None:
    found = within_bounds(replicas, least, least + room, gang)
    assert found % gang == 0
    assert found >= least
    assert found <= max(least + room, whole_gangs(least, gang))


def test_the_last_gang_goes_by_itself() -> None:
    rules = ServeRules(
        min_replicas=0, max_replicas=8, gang_size=4, downscale_delay_s=0.0, downscale_to_zero_delay_s=9.0
    )
    assert delayed(rules, IDLE, 0.0, 8, 0) == (4, IDLE)
    assert delayed(rules, IDLE, 0.0, 4, 0) == (4, Pending(-1, 0.0))
    assert delayed(rules, Pending(-1, 0.0), 9.0, 4, 0) == (0, IDLE)
    assert bounded(rules, 9) == 8


def test_look_back() -> None:
    mean, most = LookBack(30.0), LookBack(30.0, "max")
    assert [mean.record(t, v) for t, v in ((0.0, 6.0), (10.0, 0.0), (20.0, 3.0), (30.0, 9.0))] == [6.0, 3.0, 3.0, 4.0]
    assert [most.record(t, v) for t, v in ((0.0, 6.0), (10.0, 0.0), (30.0, 3.0))] == [6.0, 6.0, 3.0]
    assert mean.record(500.0, 7.0) == 7.0
    with pytest.raises(InputError, match="median"):
        LookBack(30.0, "median")
