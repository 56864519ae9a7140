"""The sweep's lines made into means with intervals, the goals, and the tables of docs/policy-comparison.md."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["RESULTS", "comparison_tables", "goal_table", "mean_and_half", "read_sweep", "summary"]

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "policy-sweep.json"
COLUMNS = ("cost_usd", "slo_attainment", "minutes_in_violation", "waste_gpu_hours", "waste_cpu_core_hours")
YARDSTICKS = ("clairvoyant_mip", "clairvoyant_horizon")
BEST = "rolling_horizon"


def mean_and_half(values: Sequence[float]) -> list[float]:
    """Mean and half the width of its 95 % interval by Student's t; NaN for one value.

    Examples
    --------
    >>> [round(v, 3) for v in mean_and_half([1.0, 2.0, 3.0])]
    [2.0, 2.484]
    """
    from scipy.stats import t

    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return [float(found.mean()), math.nan]
    half = float(t.ppf(0.975, len(found) - 1)) * float(found.std(ddof=1)) / math.sqrt(len(found))
    return [float(found.mean()), half]


def summary(lines: Sequence[Mapping[str, Any]], days: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """By scenario, day and policy; only seeds of which every policy of the scenario was run count."""
    found: dict[str, Any] = {"cpu_minutes": round(sum(float(line["cpu_s"]) for line in lines) / 60.0, 1), "days": {}}
    for scenario, names in days.items():
        of_scenario = [line for line in lines if line["scenario"] == scenario]
        policies = list(dict.fromkeys(line["policy"] for line in of_scenario))
        by_run = {(line["policy"], line["seed"]): line["days"] for line in of_scenario}
        seeds = sorted({line["seed"] for line in of_scenario})
        seeds = [seed for seed in seeds if all((policy, seed) in by_run for policy in policies)]
        for day, name in enumerate(names):
            values = {
                policy: {column: [by_run[policy, s][day][column] for s in seeds] for column in COLUMNS}
                for policy in policies
            }
            found["days"][f"{scenario}, {name}"] = {"seeds": seeds, **_of_day(values)} if seeds else {"seeds": []}
    return found


def _of_day(values: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    rows = {}
    for policy, columns in values.items():
        row: dict[str, Any] = {column: mean_and_half(numbers) for column, numbers in columns.items()}
        for yardstick in YARDSTICKS:
            row[f"over_{yardstick}"] = _ratio(columns["cost_usd"], values[yardstick]["cost_usd"])
        rows[policy] = row
    equal = {policy: _equal_hpa(values, policy) for policy in values if policy.startswith(BEST)}
    return {"policies": rows, "hpa_at_equal_attainment": equal}


def _ratio(cost: Sequence[float], other: Sequence[float]) -> list[float]:
    """``cost / other - 1``, seed by seed."""
    return mean_and_half([a / b - 1.0 for a, b in zip(cost, other)])


def _equal_hpa(values: Mapping[str, Mapping[str, Sequence[float]]], policy: str) -> dict[str, Any]:
    """HPA at the attainment of ``policy``: between the two of the swept targets that enclose it, by straight line.

    Of targets that attain no more than a cheaper one none counts. ``reached`` is false where no target attains as much;
    the comparison is then with the one that attains most.
    """
    ours = float(np.mean(values[policy]["slo_attainment"]))
    hpas = {name: columns for name, columns in values.items() if name.startswith("hpa")}
    mean = {n: (float(np.mean(c["cost_usd"])), float(np.mean(c["slo_attainment"]))) for n, c in hpas.items()}
    front: list[str] = []
    for name in sorted(mean, key=lambda n: (mean[n][0], -mean[n][1])):
        if not front or mean[name][1] > mean[front[-1]][1]:
            front.append(name)
    above = next((name for name in front if mean[name][1] >= ours), None)
    high = above or front[-1]
    low = front[front.index(high) - 1] if above and front.index(high) > 0 else high
    share = 1.0 if low == high else (ours - mean[low][1]) / (mean[high][1] - mean[low][1])
    cost = [(1.0 - share) * a + share * b for a, b in zip(hpas[low]["cost_usd"], hpas[high]["cost_usd"])]
    saved = [1.0 - a / b for a, b in zip(values[policy]["cost_usd"], cost)]
    return {"hpa": high if low == high else f"between {low} and {high}", "reached": above is not None,
            "cost_usd": mean_and_half(cost), "saving": mean_and_half(saved)}  # fmt: skip


def read_sweep(path: Path = RESULTS) -> dict[str, Any]:
    """The kept summary."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def comparison_tables(sweep: Mapping[str, Any]) -> str:
    """A table a day: every policy, cheapest first."""
    parts = []
    for name, day in sweep["days"].items():
        if not day["seeds"]:
            continue
        parts.append(f"**{name}** ({len(day['seeds'])} seeds)\n")
        parts.append("| policy | cost, USD | over `clairvoyant_mip` | over `clairvoyant_horizon` | SLO attainment | min in violation | idle GPU h | idle core h |")  # fmt: skip  # noqa: E501
        parts.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for policy, row in sorted(day["policies"].items(), key=lambda item: item[1]["cost_usd"][0]):
            cells = [
                _number(row["cost_usd"], 1),
                *(_percent(row[f"over_{yardstick}"]) for yardstick in YARDSTICKS),
                _number(row["slo_attainment"], 5),
                _number(row["minutes_in_violation"], 0),
                _number(row["waste_gpu_hours"], 1),
                _number(row["waste_cpu_core_hours"], 0),
            ]
            parts.append(f"| {policy} | {' | '.join(cells)} |")
        parts.append("")
    return "\n".join(parts).rstrip() or "No sweep is kept yet."


def goal_table(sweep: Mapping[str, Any]) -> str:
    """What was to be reached, day by day, for each setting of the best policy."""
    rows = [
        "| day | policy | over `clairvoyant_mip` | over `clairvoyant_horizon` | attainment | of HPA's default | HPA that attains as much | cheaper than it |",  # noqa: E501
        "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: |",
    ]
    for name, day in sweep["days"].items():
        for policy, equal in day.get("hpa_at_equal_attainment", {}).items():
            ours, hpa = day["policies"][policy], day["policies"]["hpa"]
            at = equal["hpa"] if equal["reached"] else f"none; {equal['hpa']} comes nearest"
            cells = [
                name,
                policy,
                *(_percent(ours[f"over_{yardstick}"]) for yardstick in YARDSTICKS),
                f"{ours['slo_attainment'][0]:.5f}",
                f"{hpa['slo_attainment'][0]:.5f}",
                f"{at}: {_number(equal['cost_usd'], 1)} USD",
                _percent(equal["saving"]),
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) if len(rows) > 2 else "No sweep is kept yet."


def _number(value: Sequence[float], digits: int) -> str:
    half = "" if math.isnan(value[1]) else f" ± {value[1]:.{digits}f}"
    return f"{value[0]:.{digits}f}{half}"


def _percent(value: Sequence[float]) -> str:
    half = "" if math.isnan(value[1]) else f" ± {100 * value[1]:.1f}"
    return f"{100 * value[0]:.1f}{half} %"
