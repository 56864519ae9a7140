"""What a policy may see and return: observations are read-only, rubbish is told in one line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recfleet.cli import run as run_command
from simulator.engine import MOST_REPLICAS, simulate
from simulator.facts import fleet_facts
from simulator.policy import Allocation, Observation
from simulator.scenario import Scenario
from tests.simulator.mini import Calling, Scripted, write_mini
from workloads.errors import InputError

GOOD = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])


def returning(value: Any) -> Callable[[Observation], Any]:
    return lambda observation: value


def replicas(value: Any) -> Callable[[Observation], Any]:
    return returning(Allocation(value))


def raising(error: Exception) -> Callable[[Observation], Any]:
    def decide(observation: Observation) -> Any:
        raise error

    return decide


def changed(v: int, n: int, value: float) -> np.ndarray:
    wanted = GOOD.astype(float)
    wanted[v, n] = value
    return wanted


RUBBISH: dict[str, tuple[Callable[[Observation], Any], tuple[str, ...]]] = {
    "nothing": (returning(None), ("NoneType", "Allocation")),
    "a bare array": (returning(GOOD), ("ndarray", "Allocation")),
    "no replicas": (replicas(None), ("shape ()", "(4, 2)")),
    "other shape": (replicas(GOOD.T), ("shape (2, 4)", "(4, 2)", "[variant, node_type]")),
    "empty": (replicas(np.zeros((0, 0), np.int64)), ("shape (0, 0)",)),
    "flat": (replicas(GOOD.ravel()), ("shape (8,)",)),
    "ragged": (replicas([[1, 2], [3], [1, 0], [0, 1]]), ("no array", "(4, 2)")),
    "words": (replicas(np.full((4, 2), "many")), ("type <U4",)),
    "booleans": (replicas(GOOD > 0), ("type bool",)),
    "objects": (replicas(GOOD.astype(object)), ("type object",)),
    "complex": (replicas(GOOD.astype(complex)), ("type complex",)),
    "negative": (replicas(changed(0, 0, -1)), ("feed/retrieve/retrieve on box is -1.0", "0 to")),
    "fraction": (replicas(changed(2, 1, 0.5)), ("ads/rank/ads-cpu on gpu is 0.5", "whole")),
    "NaN": (replicas(changed(3, 1, np.nan)), ("ads/rank/ads-gpu on gpu is nan",)),
    "infinite": (replicas(changed(0, 0, np.inf)), ("is inf",)),
    "absurd": (replicas(changed(0, 0, 1e30)), ("is 1e+30", str(MOST_REPLICAS))),
    "where it cannot run": (replicas(changed(1, 0, 1)), ("feed/rank/rank on box", "cannot run", "runs_on")),
    "an error": (raising(ZeroDivisionError("division by zero")), ("ZeroDivisionError", "division by zero")),
    "an error of two lines": (raising(ValueError("first\nsecond")), ("ValueError: first second",)),
    "an input error": (
        raising(InputError("my policy", "has no forecast", "give one")),
        ("my policy: has no forecast",),
    ),
    "writing to what it sees": (lambda o: o.ready.fill(1), ("read-only",)),
}


@pytest.mark.parametrize(("decide", "says"), RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_one_clear_line(mini: Scenario, decide: Callable[[Observation], Any], says: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        simulate(mini, Calling(decide), seed=7, policy_name="mine")
    message = str(error.value)
    assert "\n" not in message
    for words in says:
        assert words in message
    if "my policy" not in message:
        assert error.value.where == "policy mine, seed 7 at 0 s"
        assert error.value.fix


def test_rubbish_in_the_middle_of_a_run_names_the_time(mini: Scenario) -> None:
    def decide(observation: Observation) -> Any:
        return Allocation(GOOD) if observation.slot < 3 else None

    with pytest.raises(InputError, match=r"policy mine, seed 7 at 60 s: decide\(\) returned NoneType"):
        simulate(mini, Calling(decide), seed=7, policy_name="mine")


POLICY_FILE = """\
from simulator.policy import Allocation

class Late:
    def decide(self, observation):
        if observation.slot == 2:
            raise KeyError("demand\\n of tomorrow")
        return Allocation((observation.facts.throughput_rps > 0).astype(int))
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_failing_policy_from_a_file(tmp_path: Any, capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    """In this process, and in two others."""
    path = write_mini(tmp_path)
    (tmp_path / "late.py").write_text(POLICY_FILE)
    out = tmp_path / "out"
    command = ["compare", str(path), "--policies", f"{tmp_path}/late.py:Late", "--workers", jobs, "--seeds", jobs]
    code = run_command([*command, "--quiet", "--out", str(out)])
    told = capsys.readouterr().err
    assert code == 2
    assert told.count("\n") == 1
    assert re.search(r"policy Late, seed [34] at 40 s: decide\(\) failed: KeyError", told)
    assert not out.exists()
    assert not out.with_name("out.partial").exists()


def test_observations_cannot_be_changed(mini: Scenario) -> None:
    policy = Scripted(GOOD, 2 * GOOD)
    simulate(mini, policy, seed=7)
    assert len(policy.seen) == 15
    for observation in policy.seen:
        for field in dataclasses.fields(observation):
            value = getattr(observation, field.name)
            if isinstance(value, np.ndarray):
                assert not value.flags.writeable, field.name
        with pytest.raises(dataclasses.FrozenInstanceError):
            observation.slot = 5  # type: ignore[misc]


def test_what_was_seen_stays_as_it_was(mini: Scenario) -> None:
    """An observation kept by a policy is not a window on what comes later."""
    copies: list[dict[str, np.ndarray]] = []

    class Keeping(Scripted):
        def decide(self, observation: Observation) -> Allocation:
            names = [f.name for f in dataclasses.fields(observation) if f.name != "facts"]
            copies.append({name: np.array(getattr(observation, name)) for name in names})
            return super().decide(observation)

    policy = Keeping(GOOD, 3 * GOOD, 0 * GOOD, GOOD)
    simulate(mini, policy, seed=7)
    for observation, copy in zip(policy.seen, copies, strict=True):
        for name, value in copy.items():
            np.testing.assert_array_equal(getattr(observation, name), value, err_msg=name)


def test_the_decision_log_keeps_its_own_numbers(mini: Scenario) -> None:
    """A policy may use one array again and again."""
    wanted = GOOD.copy()

    def decide(observation: Observation) -> Allocation:
        wanted[0, 0] = 1 + observation.slot % 3
        return Allocation(wanted, status="feasible", objective_usd_per_hour=2.5, bound_usd_per_hour=2.0, note="why")

    result = simulate(mini, Calling(decide), seed=7)
    assert [int(d.wanted[0, 0]) for d in result.decisions] == [1 + slot % 3 for slot in range(15)]
    last = result.decisions[-1]
    assert (last.status, last.objective_usd_per_hour, last.bound_usd_per_hour, last.note) == (
        "feasible",
        2.5,
        2.0,
        "why",
    )


def test_whole_numbers_as_floats_and_lists_will_do(mini: Scenario) -> None:
    results = [
        simulate(mini, Calling(replicas(form)), seed=7) for form in (GOOD, GOOD.astype(np.float32), GOOD.tolist())
    ]
    assert len({int(r.completed.sum()) for r in results}) == 1
    assert results[0].intervals.cost_usd.tolist() == results[1].intervals.cost_usd.tolist()


def test_progress_rises_to_one(mini: Scenario) -> None:
    fractions: list[float] = []
    simulate(mini, Scripted(GOOD), seed=7, progress=fractions.append)
    assert len(fractions) == 15
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_facts_come_with_every_observation(mini: Scenario) -> None:
    policy = Scripted(GOOD)
    simulate(mini, policy, seed=7)
    assert all(o.facts is fleet_facts(mini) for o in policy.seen)
