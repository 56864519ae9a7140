"""The tables of docs/fidelity.md, from the kept results of `tests.benchmarks.fidelity_table`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["RESULTS", "arrivals_table", "goals_table", "job_table", "read_fidelity", "runs_table"]

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "fidelity" / "h200.json"
SHOWN = ("p50_ms", "p95_ms", "p99_ms", "mean_ms")
VARIANT_NAMES = {"profile": "the profile alone", "assembly": "with assembly"}
Row = Mapping[str, Any]
GENERATED = ("poisson", "gamma")


def read_fidelity(path: Path = RESULTS) -> list[Row]:
    """The rows, one a run."""
    rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return rows


def goals_table(rows: Sequence[Row]) -> str:
    """The goals against what was reached, by variant, over runs held out."""
    held = [row for row in rows if row["held_out"]]
    groups = {
        "all held out": held,
        "Poisson and gamma arrivals": [row for row in held if row["arrivals"] in GENERATED],
        "of these, CUDA graphs, base cap": [
            row for row in held if row["arrivals"] in GENERATED and _is_base(row, rows)
        ],
        "replayed arrivals": [row for row in held if row["arrivals"] not in GENERATED],
    }
    lines = _head(
        ("runs held out", "prediction", "count"), ("mean, abs. error", "p99, abs. error", "median p99", "coverage")
    )
    for variant in _variants(rows):
        for name, group in groups.items():
            mean, p99 = (_absolute(group, metric, variant) for metric in ("mean_ms", "p99_ms"))
            cells = [_goal(mean.mean(), 0.03), _goal(p99.mean(), 0.05), _percent(float(np.median(p99)))]
            covered = _covered(group, variant)
            within = "met" if 0.85 <= covered <= 0.95 else "missed"
            lines.append(_line(name, VARIANT_NAMES[variant], len(group), *cells, f"{100 * covered:.0f} %, {within}"))
    return "\n".join(lines)


def job_table(rows: Sequence[Row]) -> str:
    """Mean absolute errors and coverage by job."""
    return _grouped(rows, "job", lambda row: row["job"])


def arrivals_table(rows: Sequence[Row]) -> str:
    """Mean absolute errors and coverage by arrivals and load."""
    return _grouped(rows, "arrivals and load", lambda row: f"{row['arrivals']} {row['load']:g}")


def runs_table(rows: Sequence[Row]) -> str:
    """Every run: errors in per cent of the last variant, those outside their interval marked."""
    variant = _variants(rows)[-1]
    names = [name.removesuffix("_ms") for name in SHOWN]
    lines = _head(("job", "arrivals", "load", "cap", "wait, ms", "seed"), ("p99, ms", *names, "p99, profile alone"))
    for row in rows:
        kind = row["arrivals"] + (f", {row['router'].replace('_', ' ')}" if row["router"] else "")
        caps, waits = ("/".join(f"{v:g}" for v in row[key]) for key in ("max_batch", "max_wait_ms"))
        marks = [_signed(row, metric, variant) for metric in SHOWN]
        job = row["job"] if row["held_out"] else f"{row['job']} †"
        p99 = f"{row['measured']['p99_ms']:.3g}"
        alone = _signed(row, "p99_ms", "profile")
        lines.append(_line(job, kind, f"{row['load']:g}", caps, waits, row["seed"], p99, *marks, alone))
    return "\n".join(lines)


def _grouped(rows: Sequence[Row], title: str, key: Callable[[Row], str]) -> str:
    variants = _variants(rows)
    columns = [f"{name.removesuffix('_ms')}, {VARIANT_NAMES[v]}" for v in variants for name in ("p99_ms", "mean_ms")]
    last = variants[-1]
    lines = _head((title, "count"), ("p50", "p95", *columns, "coverage"))
    for name in dict.fromkeys(sorted(map(key, rows))):
        group = [row for row in rows if key(row) == name]
        cells = [_mean(group, metric, last) for metric in ("p50_ms", "p95_ms")]
        cells += [_mean(group, metric, variant) for variant in variants for metric in ("p99_ms", "mean_ms")]
        lines.append(_line(name, len(group), *cells, f"{100 * _covered(group, last):.0f} %"))
    return "\n".join(lines)


def _is_base(row: Row, rows: Iterable[Row]) -> bool:
    caps = [other["max_batch"] for other in rows if other["job"] == row["job"]]
    return "graph" in row["job"] and row["max_batch"] == max(caps)


def _variants(rows: Sequence[Row]) -> list[str]:
    return [name for name in VARIANT_NAMES if name in rows[0]["error"]]


def _absolute(rows: Sequence[Row], metric: str, variant: str) -> np.ndarray:
    return np.abs([row["error"][variant][metric] for row in rows])


def _covered(rows: Sequence[Row], variant: str) -> float:
    return float(np.mean([row["covered"][variant][metric] for row in rows for metric in SHOWN]))


def _mean(rows: Sequence[Row], metric: str, variant: str) -> str:
    return _percent(float(_absolute(rows, metric, variant).mean()))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _goal(share: float, goal: float) -> str:
    return f"{_percent(share)}, {'met' if share <= goal else 'missed'}"


def _signed(row: Row, metric: str, variant: str) -> str:
    return f"{100 * row['error'][variant][metric]:+.1f}{'' if row['covered'][variant][metric] else ' *'}"


def _head(words: Sequence[str], numbers: Sequence[str]) -> list[str]:
    return [_line(*words, *numbers), "| --- " * len(words) + "| ---: " * len(numbers) + "|"]


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
