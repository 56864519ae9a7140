"""What observations tell of tasks waiting and in batches, against the run's own sums and by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from simulator.engine import simulate
from simulator.policy import Allocation, Observation
from tests.simulator.mini import load_mini


@dataclass
class Recorder:
    """Two replicas of each variant where it runs, and what was seen."""

    seen: list[Observation] = field(default_factory=list)

    def decide(self, observation: Observation) -> Allocation:
        self.seen.append(observation)
        return Allocation(2 * observation.facts.runs_on())


def test_they_add_up_to_the_run(tmp_path: Path) -> None:
    scenario = load_mini(tmp_path)
    policy = Recorder()
    result = simulate(scenario, policy, seed=3)
    assert np.isnan(policy.seen[0].stage_waiting).all()
    assert np.isnan(policy.seen[0].stage_computing).all()
    later = policy.seen[1:]
    interval_s = scenario.control_interval_s
    for total, means in (
        (result.stage_wait_s, [seen.stage_waiting for seen in later]),
        (result.stage_compute_s, [seen.stage_computing for seen in later]),
    ):
        told = interval_s * np.sum(means, axis=0)
        assert (told <= total + 1e-9).all()
        assert (told >= 0.85 * total).all()  # all but the last interval, which no decision follows
    for seen in later:
        busy = np.nan_to_num(seen.busy_fraction) * (seen.ready + seen.draining)
        replicas = np.bincount(seen.facts.variant_stage, weights=busy.sum(axis=1))
        # A busy replica has a task at least; batches that began before make up for those that reach beyond.
        assert (seen.stage_computing >= replicas - 0.5).all()
        assert not seen.stage_waiting.flags.writeable


@pytest.mark.parametrize("name", ["stage_waiting", "stage_computing"])
def test_they_cannot_be_changed(tmp_path: Path, name: str) -> None:
    policy = Recorder()
    simulate(load_mini(tmp_path), policy, seed=3)
    for seen in policy.seen[:2]:
        with pytest.raises(ValueError, match="read-only"):
            getattr(seen, name)[0] = 1.0
