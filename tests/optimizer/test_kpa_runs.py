"""Short runs of the autoscalers kpa, ray_serve and keda on a scenario of minutes with a flash crowd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.registry import make_policy
from simulator.engine import simulate
from simulator.facts import prepare
from tests.simulator.mini import load_mini


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "kpa", "target": 0.5},
        {"name": "ray_serve", "target_ongoing_requests": 1.0, "downscale_delay_s": 40.0},
        {"name": "keda", "threshold": 1.0},
    ],
    ids=lambda spec: str(spec["name"]),
)
def test_a_flash_crowd_brings_replicas(tmp_path: Path, spec: dict[str, Any]) -> None:
    scenario = load_mini(tmp_path)
    context = prepare(scenario, 3)
    result = simulate(scenario, make_policy(spec, context), seed=3, context=context)
    again = simulate(scenario, make_policy(spec, context), seed=3, context=context)
    wanted = np.array([decision.wanted.sum() for decision in result.decisions])
    starts_s = np.array([decision.now_s for decision in result.decisions])
    crowd = (starts_s >= 120.0) & (starts_s <= 180.0)
    assert wanted[crowd].max() > wanted[starts_s <= 100.0][1:].max()
    assert (wanted >= 3).all()
    assert [decision.note for decision in result.decisions] == [decision.note for decision in again.decisions]
    assert result.completed.sum() > 0.8 * result.arrived.sum()
