"""`python -m tests.benchmarks.fidelity_table DIR...`: the server's logs in folders, each run against its prediction.

One line a run in Markdown, then means by job and over all runs held out. `--no-assembly` predicts from the profile
alone; `--json FILE` keeps all numbers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator.fidelity.comparison import Spread, drift_of
from simulator.fidelity.server_logs import compare_run, read_job_log
from simulator.fidelity.summary import METRICS
from workloads.profile import profile_from_document

SHOWN = ("p50_ms", "p95_ms", "p99_ms", "mean_ms")


def rows_of(path: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row a run of a job."""
    log = read_job_log(path)
    own = drift_of(profile_from_document(log.found["profiles"][0]), max(log.job.sizes(0)))
    drift = own if options.drift is None else options.drift
    for run in log.runs:
        found = compare_run(log, run, Spread(drift, options.replicates, 5), not options.no_assembly)
        yield {
            "job": log.job.name,
            "plan": run.plan.model_dump(mode="json"),
            "replicas": log.job.replicas,
            "requests": len(run.log.arrival_s),
            "late_s": run.facts["late_s"]["mean"],
            "error": dict(zip(METRICS, found.error.tolist())),
            "covered": dict(zip(METRICS, found.covered.tolist())),
            "measured": dict(zip(METRICS, found.measured.tolist())),
        }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: errors in per cent, those outside the interval marked."""
    head = "| job | arrivals | load | cap | wait, ms | seed | held out | p99, ms |"
    lines = [head + "".join(f" {name[:-3]} |" for name in SHOWN), "| --- " * 3 + "| ---: " * (5 + len(SHOWN)) + "|"]
    for row in rows:
        plan = row["plan"]
        caps, waits = ("/".join(f"{v:g}" for v in values) for values in (plan["max_batch"], plan["max_wait_s"]))
        marks = [f"{100 * row['error'][m]:+.1f}{'' if row['covered'][m] else ' *'}" for m in SHOWN]
        kind = f"{plan['arrivals']}, {plan['router']}" if row["replicas"] > 1 else plan["arrivals"]
        shown = [row["job"], kind, f"{plan['load']:g}", caps, waits, plan["seed"], "yes" if plan["held_out"] else ""]
        lines.append("| " + " | ".join(map(str, [*shown, f"{row['measured']['p99_ms']:.3g}", *marks])) + " |")
    return "\n".join(lines)


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Mean absolute errors and coverage, by job and over all."""
    lines = ["| runs | count | mean abs. error of p50 | p95 | p99 | mean | coverage |", "| --- " + "| ---: " * 6 + "|"]
    jobs = sorted({row["job"] for row in rows})
    groups = [(job, [row for row in rows if row["job"] == job]) for job in jobs]
    groups += [("held out", [row for row in rows if row["plan"]["held_out"]]), ("all", list(rows))]
    for name, group in groups:
        errors = [100 * np.mean([abs(row["error"][m]) for row in group]) for m in SHOWN]
        covered = 100 * np.mean([row["covered"][m] for row in group for m in SHOWN])
        cells = [name, str(len(group)), *(f"{error:.1f} %" for error in errors), f"{covered:.0f} %"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--replicates", type=int, default=60)
    parser.add_argument("--drift", type=float, default=None)
    parser.add_argument("--no-assembly", action="store_true")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    paths = [path for folder in options.folders for path in sorted(folder.glob("*.json"))]
    for path in (path for path in paths if path.with_suffix(".npz").exists()):
        rows += rows_of(path, options)
    print(table(rows), summary(rows), sep="\n\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
