"""The policy ray_serve: delays on the clock, one deployment a stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.policies.ray_serve import RayServe, RayServeOptions
from optimizer.registry import make_policy, validate_spec
from optimizer.stage_load import StageLoad
from tests.optimizer.factory import context, facts, run
from workloads.errors import InputError

FAST = facts(control_interval_s=10.0)
STEADY = np.full((2, 12), 300.0)


def load(in_flight: float, ready: int, tasks_per_s: float = 0.0) -> StageLoad:
    return StageLoad(0.5 * in_flight, 0.5 * in_flight, tasks_per_s, 0.5, ready, 0)


def ray_serve(**options: Any) -> RayServe:
    return RayServe(context(FAST, STEADY), RayServeOptions(**options))


def test_more_is_wanted_for_the_upscale_delay_before_it_comes() -> None:
    stage = ray_serve(look_back_period_s=10.0).make(0, 2, 0.0)
    wanted = [stage.advance(10.0 * i, 10.0 * (i + 1), load(9.0, 2)) for i in range(5)]
    assert wanted == [2, 2, 2, 5, 5]  # first wanted at 10 s, so at 40 s
    assert stage.told() == "9.0 ongoing"


def test_fewer_are_wanted_for_the_downscale_delay_before_they_go() -> None:
    stage = ray_serve(look_back_period_s=10.0, downscale_delay_s=60.0).make(0, 5, 0.0)
    wanted = [stage.advance(10.0 * i, 10.0 * (i + 1), load(2.0, 5)) for i in range(8)]
    assert wanted == [5] * 6 + [1, 1]


def test_the_look_back_smooths() -> None:
    stage = ray_serve(upscale_delay_s=0.0).make(0, 1, 0.0)
    wanted = [stage.advance(10.0 * i, 10.0 * (i + 1), load(n, 1)) for i, n in enumerate((0.0, 0.0, 12.0, 12.0))]
    assert wanted == [1, 1, 2, 4]  # means of three samples: 4, then 8


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 40)), min_size=1, max_size=12))
def test_ticks_do_not_hang_on_the_control_interval(steps: list[tuple[float, int]]) -> None:
    coarse, fine = (ray_serve(downscale_delay_s=100.0, min_replicas=0).make(0, 3, 0.0) for _ in range(2))
    for i, (in_flight, ready) in enumerate(steps):
        at_once = coarse.advance(60.0 * i, 60.0 * (i + 1), load(in_flight, ready))
        for k in range(12):
            begin_s = 60.0 * i + 5.0 * k
            last = fine.advance(begin_s, begin_s + 5.0, load(in_flight, ready))
        assert last == at_once


@given(st.lists(st.floats(0.0, 1e6), max_size=12), st.integers(0, 5), st.integers(1, 30))
def test_bounds_hold(loads: list[float], least: int, room: int) -> None:
    stage = ray_serve(min_replicas=least, max_replicas=least + room, upscale_delay_s=0.0, downscale_delay_s=0.0)
    autoscaler = stage.make(0, 3, 0.0)
    for i, in_flight in enumerate(loads):
        wanted = autoscaler.advance(10.0 * i, 10.0 * (i + 1), load(in_flight, 2))
        assert least <= wanted <= least + room


def test_a_request_wakes_a_deployment_without_replicas() -> None:
    stage = ray_serve(min_replicas=0, initial_replicas=0).make(0, 4, 0.0)
    assert stage.advance(0.0, 10.0, load(0.0, 0)) == 0
    assert stage.advance(10.0, 20.0, load(0.0, 0, tasks_per_s=0.5)) == 1


def test_it_keeps_what_serves_and_grows_with_a_jump() -> None:
    rates = np.full((2, 30), 300.0)
    rates[:, 8:] = 2400.0
    answers = run(make_policy({"name": "ray_serve", "target_ongoing_requests": 0.7}, context(FAST, rates)), FAST, rates)
    totals = [int(answer.replicas.sum()) for answer in answers]
    assert totals[-1] > totals[7]
    assert "ongoing" in answers[-1].note


def test_a_config_file_beside_the_scenario(tmp_path: Path) -> None:
    text = "deployments: [{name: Model, autoscaling_config: {min_replicas: 3, max_replicas: 5}}]\n"
    (tmp_path / "serve.yaml").write_text(text)
    policy = make_policy({"name": "ray_serve", "manifest": "serve.yaml"}, context(FAST, STEADY), base=tmp_path)
    answers = run(policy, FAST, STEADY)
    assert FAST.by_stage(np.asarray(answers[-1].replicas).sum(axis=1)).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_replicas": 0}, "policy ray_serve option max_replicas: 0 is not a whole number of at least 1"),
        ({"upscale_delay_s": -1}, "option upscale_delay_s: -1 is not a number"),
        ({"gang_size": 3}, "option gang_size: 3 does not divide"),
        ({"manifest": "x.yaml", "max_replicas": 3}, "option max_replicas: it is given beside manifest"),
        ({"target_requests": 3}, "did you mean 'target_ongoing_requests'"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_spec({"name": "ray_serve"} | options)
    assert told in str(caught.value)
