"""The policy keda: polls and syncs on their clocks, cron windows on the trace's calendar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.policies.keda import Keda, KedaOptions
from optimizer.registry import make_policy, validate_spec
from optimizer.stage_load import StageLoad
from tests.optimizer.factory import context, facts, run
from workloads.errors import InputError

FLEET = facts()
STEADY = np.full((2, 12), 300.0)
CRON = """\
kind: ScaledObject
spec:
  minReplicaCount: 0
  triggers:
    - type: cron
      metadata: {timezone: Europe/Berlin, start: 0 6 * * *, end: 0 8 * * *, desiredReplicas: "3"}
"""


def load(in_flight: float, ready: int, tasks_per_s: float = 0.0) -> StageLoad:
    return StageLoad(0.0, in_flight, tasks_per_s, 0.5, ready, 0)


def keda(**options: Any) -> Keda:
    return Keda(context(FLEET, STEADY), KedaOptions(**options))


def test_a_threshold_is_the_load_over_it() -> None:
    stage = keda(threshold=4.0).make(0, 2, 0.0)
    assert stage.advance(0.0, 60.0, load(30.0, 2)) == 8
    assert stage.advance(60.0, 120.0, load(31.0, 8)) == 8
    assert stage.advance(120.0, 180.0, load(34.9, 8)) == 8  # within the tolerance of a tenth
    assert stage.advance(180.0, 240.0, load(36.1, 8)) == 10
    assert stage.told() == "triggers at 36.1"


def test_it_shrinks_after_the_hpa_s_stabilisation_and_sleeps_after_the_cool_down() -> None:
    stage = keda(threshold=4.0, min_replicas=0).make(0, 2, 0.0)
    wanted = [stage.advance(0.0, 60.0, load(30.0, 2))]
    wanted += [stage.advance(60.0 * i, 60.0 * (i + 1), load(4.0, 8)) for i in range(1, 7)]
    assert wanted == [8, 8, 8, 8, 8, 8, 1]
    asleep = [stage.advance(420.0 + 60.0 * i, 480.0 + 60.0 * i, load(0.0, 1)) for i in range(6)]
    assert asleep == [1, 1, 1, 1, 1, 0]  # active last at 420 s, so it sleeps at the first poll after 720 s
    assert stage.advance(780.0, 840.0, load(0.0, 0)) == 0
    assert stage.advance(840.0, 900.0, load(0.0, 0, tasks_per_s=9.0)) == 3


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 40)), min_size=1, max_size=10))
def test_ticks_do_not_hang_on_the_control_interval(steps: list[tuple[float, int]]) -> None:
    coarse, fine = (keda(min_replicas=0, cooldown_s=100.0).make(0, 3, 0.0) for _ in range(2))
    for i, (in_flight, ready) in enumerate(steps):
        at_once = coarse.advance(60.0 * i, 60.0 * (i + 1), load(in_flight, ready))
        for k in range(12):
            begin_s = 60.0 * i + 5.0 * k
            last = fine.advance(begin_s, begin_s + 5.0, load(in_flight, ready))
        assert last == at_once


def test_a_cron_window_on_the_trace_s_calendar(tmp_path: Path) -> None:
    (tmp_path / "scaled.yaml").write_text(CRON)
    rates = np.full((2, 24 * 4), 1.0)
    fleet = facts(control_interval_s=900.0)
    spec = {"name": "keda", "manifest": "scaled.yaml", "begins": "2026-07-15T00:00:00+02:00"}
    answers = run(make_policy(spec, context(fleet, rates), base=tmp_path), fleet, rates)
    per_stage = [fleet.by_stage(np.asarray(answer.replicas).sum(axis=1)).tolist() for answer in answers]
    quarters = [counts[0] for counts in per_stage]
    assert all(counts == [counts[0]] * 3 for counts in per_stage[1:])
    assert quarters[2:24] == [0] * 22  # midnight to six, after the cool-down of what it begins with
    assert quarters[25:33] == [3] * 8  # a decision a quarter of an hour: seen at 6:15, and until 8:00
    assert quarters[34:] == [0] * 62
    other = make_policy(spec | {"begins": "2026-07-15T06:30:00+02:00"}, context(fleet, rates), base=tmp_path)
    assert int(run(other, fleet, rates[:, :3])[-1].replicas.sum()) == 9


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"signal": "rps"}, "policy keda option signal: 'rps' is unknown"),
        ({"threshold": 0}, "option threshold: 0 is not a number above 0"),
        ({"min_replicas": 3, "max_replicas": 2}, "option max_replicas: 2 is below min_replicas 3"),
        ({"begins": "noon"}, "option begins: 'noon' is no date and time"),
        ({"begins": "0001-01-01"}, "option begins: 1 is too far away"),
        ({"begins": 7}, "option begins: 7 is no date and time"),
        ({"measures": {"load": "in_flight"}}, "option measures: it is given without manifest"),
        ({"manifest": "a.yaml", "threshold": 3.0}, "option threshold: it is given beside manifest"),
        ({"manifest": "a.yaml"}, "a.yaml: cannot be read"),
        ({"manifest": "a.yaml", "measures": "load"}, "option measures: 'load' is no mapping"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        validate_spec({"name": "keda"} | options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
