"""How far the cheaper ways of planning are from the MIP, on problems of a control loop's size."""

from __future__ import annotations

import time

import numpy as np
import pytest

from optimizer.fleet.fallback import round_fluid
from optimizer.fleet.greedy import solve_greedy
from optimizer.fleet.mip import solve_fleet_mip
from tests.optimizer.factory import funnel_problem


@pytest.mark.slow
def test_greedy_and_rounding_against_the_mip(capsys: pytest.CaptureFixture[str]) -> None:
    greedy, rounded, gaps, cpu_s = [], [], [], []
    for seed in range(60):
        problem = funnel_problem(np.random.default_rng(seed))
        start_s = time.process_time()
        mip = solve_fleet_mip(problem)
        cpu_s.append(time.process_time() - start_s)
        gaps.append(mip.gap or 0.0)
        greedy.append(solve_greedy(problem).objective_usd_per_hour / mip.objective_usd_per_hour)
        rounded.append(round_fluid(problem).objective_usd_per_hour / mip.objective_usd_per_hour)
    with capsys.disabled():
        print(
            f"\ngreedy / MIP {np.mean(greedy):.3f} (worst {max(greedy):.2f}), "
            f"rounded LP / MIP {np.mean(rounded):.3f} (worst {max(rounded):.2f}), "
            f"MIP gap {np.mean(gaps):.4f} (worst {max(gaps):.3f}), MIP {1e3 * np.median(cpu_s):.0f} ms CPU"
        )
    assert 1.0 <= np.mean(greedy) < 1.4
    assert 1.0 <= np.mean(rounded) < 1.3
    assert np.mean(gaps) < 0.02
