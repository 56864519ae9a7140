"""The policy kpa: windows and panic on the ticks' clock, manifests by stage, waking from nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.autoscalers.kpa_revision import Revision
from optimizer.autoscalers.kpa_settings import KpaSettings
from optimizer.policies.deployments import ticks_between
from optimizer.policies.kpa import Kpa, KpaOptions
from optimizer.registry import make_policy, validate_spec
from optimizer.stage_load import StageLoad
from tests.optimizer.factory import context, facts, observation, run
from workloads.errors import InputError

FAST = facts(control_interval_s=20.0)
STEADY = np.full((2, 12), 300.0)


def load(in_flight: float, ready: int = 1, tasks_per_s: float = 0.0) -> StageLoad:
    return StageLoad(in_flight, 0.0, tasks_per_s, 0.5, ready, 0)


def kpa(**options: Any) -> Kpa:
    return Kpa(context(FAST, STEADY), KpaOptions(**options))


def test_a_steady_rate_settles_at_rate_over_target() -> None:
    policy = make_policy({"name": "kpa", "metric": "rps", "target": 100}, context(FAST, STEADY))
    answers = run(policy, FAST, STEADY)
    wanted = math.ceil(300.0 / 70.0)
    per_stage = FAST.by_stage(np.asarray(answers[-1].replicas).sum(axis=1))
    assert per_stage.tolist() == [wanted] * 3
    assert "300.0 tasks/s" in answers[-1].note


@given(st.lists(st.tuples(st.floats(0.0, 500.0), st.integers(0, 40)), min_size=1, max_size=8), st.floats(0.0, 60.0))
def test_ticks_do_not_hang_on_the_control_interval(steps: list[tuple[float, int]], delay_s: float) -> None:
    """One decision after 20 s is that of ten decisions after 2 s each, if the load is the same."""
    options = {"target": 10.0, "scale_down_delay_s": float(round(delay_s)), "min_scale": 0}
    coarse, fine = (kpa(**options).make(0, 3, 0.0) for _ in range(2))
    for i, (in_flight, ready) in enumerate(steps):
        at_once = coarse.advance(20.0 * i, 20.0 * (i + 1), load(in_flight, ready))
        for k in range(10):
            begin_s = 20.0 * i + 2.0 * k
            last = fine.advance(begin_s, begin_s + 2.0, load(in_flight, ready))
        assert last == at_once


def test_a_burst_is_met_in_panic_and_held_for_the_stable_window() -> None:
    stage = kpa(target=10.0, target_utilisation=1.0).make(0, 1, 0.0)
    for i in range(6):
        assert stage.advance(10.0 * i, 10.0 * (i + 1), load(5.0)) == 1
    assert stage.advance(60.0, 70.0, load(95.0)) == 10
    assert "in panic" in stage.told()
    held = [stage.advance(70.0 + 10.0 * i, 80.0 + 10.0 * i, load(5.0, ready=10)) for i in range(8)]
    assert held[:6] == [10] * 6  # panic was justified last before 76 s, when the burst left the panic window
    assert held[-1] < 10


def test_without_panic_the_stable_window_smooths_the_same_burst() -> None:
    revision = Revision(KpaSettings(target=10.0, target_utilisation=1.0, panic_threshold_percent=1000.0), 1, 0.0)
    for second in range(60):
        revision.record(second, 5.0)
    for second in range(60, 70):
        revision.record(second, 95.0)
    assert revision.tick(70.0, 2) == math.ceil((50 * 5.0 + 10 * 95.0) / 60 / 10.0)


def test_the_last_pod_goes_and_a_request_wakes_the_stage() -> None:
    stage = kpa(target=10.0, min_scale=0).make(0, 1, 0.0)
    wanted = [stage.advance(10.0 * i, 10.0 * (i + 1), load(0.0)) for i in range(12)]
    assert wanted[5:7] == [1, 0]  # 60 s of the stable window; the activator has been in the path all the time
    assert stage.advance(120.0, 130.0, load(0.0, ready=0)) == 0
    assert stage.advance(130.0, 140.0, load(0.0, ready=0, tasks_per_s=4.0)) == 1


def test_ticks_are_multiples() -> None:
    assert ticks_between(0.0, 7.0, 2.0) == [2.0, 4.0, 6.0]
    assert ticks_between(7.0, 8.0, 2.0) == [8.0]
    assert ticks_between(8.0, 9.5, 2.0) == []
    assert ticks_between(0.0, 0.3, 0.1) == pytest.approx([0.1, 0.2, 0.3])


def test_manifests_by_stage_lie_beside_the_scenario(tmp_path: Path) -> None:
    for name, least in (("a", 4), ("b", 6)):
        annotation = f'{{autoscaling.knative.dev/min-scale: "{least}"}}'
        text = f"kind: Service\nspec: {{template: {{metadata: {{annotations: {annotation}}}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    spec = {"name": "kpa", "manifest": {"retrieve": "a.yaml", "shop/rank": "b.yaml", "video/rank": "a.yaml"}}
    with pytest.raises(InputError, match=r"a\.yaml"):
        validate_spec(spec)
    policy = make_policy(spec, context(FAST, STEADY), base=tmp_path)
    answers = run(policy, FAST, np.full((2, 3), 1.0))
    assert FAST.by_stage(np.asarray(answers[-1].replicas).sum(axis=1)).tolist() == [4, 6, 4]
    one = {"name": "kpa", "manifest": {"retrieve": "a.yaml"}, "min_scale": 2}
    others = run(make_policy(one, context(FAST, STEADY), base=tmp_path), FAST, np.full((2, 3), 1.0))
    assert FAST.by_stage(np.asarray(others[-1].replicas).sum(axis=1)).tolist() == [4, 2, 2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metric": "cpu"}, "policy kpa option metric: 'cpu' is unknown; use concurrency or rps"),
        ({"window_s": 5}, "5 is not a number at least 6"),
        ({"target": 0}, "option target: 0 is not a number"),
        ({"min_scale": 3, "max_scale": 2}, "option max_scale: 2 is below min_scale 3"),
        ({"manifest": "a.yaml", "target": 3}, "option target: it is given beside manifest"),
        ({"manifest": "a.yaml"}, "a.yaml: cannot be read"),
        ({"manifest": 3}, "option manifest: 3 is no path"),
        ({"cluster_config": "a.yaml"}, "option cluster_config: it is given without manifest"),
        ({"defaults": 3}, "option defaults"),
        ({"burst_capacity": -2}, "option burst_capacity: -2 is not a number"),
        ({"windows": 3}, "did you mean 'window_s'"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_spec({"name": "kpa"} | options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_before_the_first_interval_nothing_is_wanted_but_what_it_begins_with() -> None:
    policy = make_policy("kpa", context(FAST, STEADY))
    answer = policy.decide(observation(FAST, 0, STEADY))
    assert FAST.by_stage(np.asarray(answer.replicas).sum(axis=1)).tolist() == [1, 2, 1]  # 360 requests/s each
