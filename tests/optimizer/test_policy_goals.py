"""How the sweep's lines become means, gaps and HPA at equal attainment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.policy_goals import comparison_tables, goal_table, summary


def line(policy: str, seed: int, cost: float, attainment: float) -> dict[str, Any]:
    day = {"cost_usd": cost, "slo_attainment": attainment, "minutes_in_violation": 1.0, "waste_gpu_hours": 2.0}
    return {"scenario": "s", "policy": policy, "seed": seed, "cpu_s": 30.0, "days": [day | {"waste_cpu_core_hours": 3}]}


def lines(ours: float = 0.995) -> list[dict[str, Any]]:
    found = []
    for seed, more in ((1, 0.0), (2, 2.0)):
        found += [
            line("rolling_horizon", seed, 80.0 + more, ours),
            line("clairvoyant_mip", seed, 100.0, 0.999),
            line("clairvoyant_horizon", seed, 80.0, 0.999),
            line("hpa", seed, 90.0, 0.99),
            line("hpa, target 0.5", seed, 95.0, 0.985),
            line("hpa, target 0.3", seed, 110.0 + more, 1.0),
        ]
    return [*found, line("hpa", 3, 1.0, 1.0)]


def test_hpa_is_read_off_between_the_targets_that_enclose() -> None:
    """0.995 lies half way from 0.99 for 90 USD to 1.0 for 111; a target that costs more for less is left out."""
    day = summary(lines(), {"s": ["a day"]})["days"]["s, a day"]
    assert day["seeds"] == [1, 2], "a seed that some policy lacks does not count"
    equal = day["hpa_at_equal_attainment"]["rolling_horizon"]
    assert equal["hpa"] == "between hpa and hpa, target 0.3"
    assert equal["reached"]
    assert equal["cost_usd"][0] == pytest.approx(100.5)
    assert equal["saving"][0] == pytest.approx(0.5 * (1 - 80 / 100 + 1 - 82 / 101))
    ours = day["policies"]["rolling_horizon"]
    assert ours["over_clairvoyant_mip"][0] == pytest.approx(-0.19)
    assert ours["over_clairvoyant_horizon"] == pytest.approx([0.0125, 12.706 * 0.0125], rel=1e-3)


def test_what_no_target_attains_is_said() -> None:
    days = summary(lines(ours=1.1), {"s": ["a day"]})
    equal = days["days"]["s, a day"]["hpa_at_equal_attainment"]["rolling_horizon"]
    assert (equal["reached"], equal["hpa"]) == (False, "hpa, target 0.3")
    assert "none; hpa, target 0.3 comes nearest" in goal_table(days)
    assert "| rolling_horizon | 81.0 ± 12.7 |" in comparison_tables(days)
