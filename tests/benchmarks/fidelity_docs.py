"""The tables of docs/fidelity.md, from the kept results of `tests.benchmarks.fidelity_table`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "CPU",
    "FIRST",
    "IN_SHORT",
    "JUDGED",
    "RESULTS",
    "SHIPPED",
    "arrivals_table",
    "goals_table",
    "job_table",
    "load_table",
    "read_fidelity",
    "runs_table",
    "shipped_table",
]

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "fidelity" / "h200.json"
FIRST = RESULTS.with_name("h200-first.json")
"""Measured with a server that stayed on slow cores."""
JUDGED = RESULTS.with_name("h200-second.json")
"""The same server, after what was chosen on `FIRST`."""
CPU = RESULTS.with_name("cpu.json")
SHIPPED = RESULTS.with_name("shipped.json")
SHOWN = ("p50_ms", "p95_ms", "p99_ms", "mean_ms")
VARIANT_NAMES = {
    "profile": "the profile alone",
    "assembly": "with assembly",
    "calibrated": "calibrated",
    "recalibrated": "recalibrated after every run",
    "furthest": "as far as calibrated",
}
Row = Mapping[str, Any]
CALIBRATED = ("calibrated", "recalibrated")
GENERATED = ("poisson", "gamma")
IN_SHORT = ("all", "one replica, CUDA graphs")


def read_fidelity(path: Path = RESULTS) -> list[Row]:
    """The rows, one a run."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def goals_table(rows: Sequence[Row], only: Sequence[str] = ()) -> str:
    """The goals against what was reached, by variant, over runs held out: all groups of runs, or these only."""
    held = [row for row in rows if row["held_out"]]
    one = [row for row in held if "recalibrated" in row["error"]]
    shared = [row for row in held if "calibrated" in row["error"] and "recalibrated" not in row["error"]]
    graphs = [row for row in one if "eager" not in row["job"]]
    made = [row for row in graphs if row["arrivals"] in GENERATED]
    groups = {
        "all": [_furthest(row) for row in held],
        "two replicas on one GPU": shared,
        "one replica": one,
        "one replica, eager": [row for row in one if "eager" in row["job"]],
        "one replica, CUDA graphs": graphs,
        "the same, Poisson and gamma, load up to 0.8": [row for row in made if row["load"] <= 0.8],
        "the same, Poisson and gamma, load 0.9": [row for row in made if row["load"] > 0.8],
        "the same, replayed arrivals": [row for row in graphs if row["arrivals"] not in GENERATED],
    }
    columns = ("mean, abs. error", "its median", "p99, abs. error", "its median", "coverage")
    lines = _head(("runs held out", "prediction", "count"), columns)
    if len(graphs) == len(one):
        del groups["one replica"]
    for name, group in ((name, group) for name, group in groups.items() if group and name in (only or groups)):
        for variant in _variants(group):
            mean, p99 = (_absolute(group, metric, variant) for metric in ("mean_ms", "p99_ms"))
            cells = [_goal(mean.mean(), 0.03), _percent(float(np.median(mean)))]
            cells += [_goal(p99.mean(), 0.05), _percent(float(np.median(p99)))]
            covered = _covered(group, variant)
            within = "met" if 0.85 <= covered <= 0.95 else "missed"
            lines.append(_line(name, VARIANT_NAMES[variant], len(group), *cells, f"{100 * covered:.0f} %, {within}"))
    return "\n".join(lines)


def job_table(rows: Sequence[Row]) -> str:
    """Mean absolute errors and coverage of runs held out, by job."""
    return _grouped(rows, "job", lambda row: row["job"])


def arrivals_table(rows: Sequence[Row]) -> str:
    """Mean absolute errors and coverage of runs held out of jobs with one replica, by arrivals and load."""
    one = [row for row in rows if "recalibrated" in row["error"]]
    return _grouped(one, "arrivals and load", lambda row: f"{row['arrivals']} {row['load']:g}")


def load_table(rows: Sequence[Row]) -> str:
    """What to rely on at each load: before anything has been served, and as far as calibrated; signed errors, too."""
    held = [_furthest(row) for row in rows if row["held_out"]]
    columns = ("mean, abs. error", "p99, abs. error", "p99, signed", "p99 covered")
    lines = _head(("load", "prediction", "runs"), columns)
    for load in sorted({row["load"] for row in held}):
        group = [row for row in held if row["load"] == load]
        for variant in ("profile", "assembly", "furthest"):
            covered = float(np.mean([row["covered"][variant]["p99_ms"] for row in group]))
            cells = [_mean(group, metric, variant) for metric in ("mean_ms", "p99_ms")]
            cells += [_mean_signed(group, "p99_ms", variant), _share(covered)]
            lines.append(_line(f"{load:g}", VARIANT_NAMES[variant], len(group), *cells))
    return "\n".join(lines)


def shipped_table(rows: Sequence[Row]) -> str:
    """Errors from profiles as shipped, by load and by job."""
    lines = _head(("load, or job",), ("runs", "mean, abs. error", "p99, abs. error", "p99, signed"))
    groups = {"all": list(rows)}
    groups |= {f"{load:g}": [row for row in rows if row["load"] == load] for load in sorted({r["load"] for r in rows})}
    groups |= {job: [row for row in rows if row["job"] == job] for job in sorted({r["job"] for r in rows})}
    for name, group in groups.items():
        cells = [_mean(group, metric, "shipped") for metric in ("mean_ms", "p99_ms")]
        lines.append(_line(name, len(group), *cells, _mean_signed(group, "p99_ms", "shipped")))
    return "\n".join(lines)


def runs_table(rows: Sequence[Row]) -> str:
    """Every run: errors in per cent with assembly, and some of the others; those outside their interval marked."""
    names = [name.removesuffix("_ms") for name in SHOWN]
    more = ("p99, profile alone", "p99, calibrated", "mean, calibrated", "p99, recalibrated", "mean, recalibrated")
    lines = _head(("job", "arrivals", "load", "cap", "wait, ms", "seed"), ("p99, ms", *names, *more))
    for row in rows:
        kind = row["arrivals"] + (f", {row['router'].replace('_', ' ')}" if row["router"] else "")
        caps, waits = ("/".join(f"{v:g}" for v in row[key]) for key in ("max_batch", "max_wait_ms"))
        marks = [_signed(row, metric, "assembly") for metric in SHOWN]
        marks.append(_signed(row, "p99_ms", "profile"))
        marks += [_signed(row, metric, name) for name in CALIBRATED for metric in ("p99_ms", "mean_ms")]
        job = row["job"] if row["held_out"] else f"{row['job']} †"
        p99 = f"{row['measured']['p99_ms']:.3g}"
        lines.append(_line(job, kind, f"{row['load']:g}", caps, waits, row["seed"], p99, *marks))
    return "\n".join(lines)


def _grouped(rows: Sequence[Row], title: str, key: Callable[[Row], str]) -> str:
    held = [row for row in rows if row["held_out"]]
    columns = ["p50", "p95", "p99", "mean", "coverage"]
    columns += [f"{what}, {name}" for name in CALIBRATED for what in ("p99", "mean", "coverage")]
    lines = _head((title, "count"), columns)
    for name in sorted(set(map(key, held))):
        group = [row for row in held if key(row) == name]
        cells = [*(_mean(group, metric, "assembly") for metric in SHOWN), _share(_covered(group, "assembly"))]
        for variant in CALIBRATED:
            if variant in _variants(group):
                cells += [_mean(group, metric, variant) for metric in ("p99_ms", "mean_ms")]
                cells.append(_share(_covered(group, variant)))
            else:
                cells += [""] * 3
        lines.append(_line(name, len(group), *cells))
    return "\n".join(lines)


def _furthest(row: Row) -> Row:
    """The row with one more variant: the last of those that the job can have."""
    last = [name for name in VARIANT_NAMES if name in row["error"]][-1]
    return dict(row) | {what: row[what] | {"furthest": row[what][last]} for what in ("error", "covered")}


def _variants(rows: Sequence[Row]) -> list[str]:
    """Those that all rows have."""
    return [name for name in VARIANT_NAMES if all(name in row["error"] for row in rows)]


def _absolute(rows: Sequence[Row], metric: str, variant: str) -> np.ndarray:
    return np.abs([row["error"][variant][metric] for row in rows])


def _covered(rows: Sequence[Row], variant: str) -> float:
    return float(np.mean([row["covered"][variant][metric] for row in rows for metric in SHOWN]))


def _mean(rows: Sequence[Row], metric: str, variant: str) -> str:
    return _percent(float(_absolute(rows, metric, variant).mean()))


def _mean_signed(rows: Sequence[Row], metric: str, variant: str) -> str:
    return f"{100 * np.mean([row['error'][variant][metric] for row in rows]):+.1f} %"


def _share(covered: float) -> str:
    return f"{100 * covered:.0f} %"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _goal(share: float, goal: float) -> str:
    return f"{_percent(share)}, {'met' if share <= goal else 'missed'}"


def _signed(row: Row, metric: str, variant: str) -> str:
    if variant not in row["error"]:
        return ""
    return f"{100 * row['error'][variant][metric]:+.1f}{'' if row['covered'][variant][metric] else ' *'}"


def _head(words: Sequence[str], numbers: Sequence[str]) -> list[str]:
    return [_line(*words, *numbers), "| --- " * len(words) + "| ---: " * len(numbers) + "|"]


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
