"""Link times of the simulator beside those of an H100 DGX: ``python -m tests.benchmarks.link_times``.

Needs the folder of real inputs (RECFLEET_DATA); writes ``docs/results/fidelity/links.json``, from which
`tests.benchmarks.docs_tables` makes tables of docs/fidelity-data.md. Takes seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator.fidelity.link_fit import LinkFit, carried_s, fit_link
from workloads.data_folder import data_folder
from workloads.profile import write_json

__all__ = ["LINKS", "band_table", "link_errors", "link_table", "main", "measured_times", "read_links"]

LINKS = Path(__file__).resolve().parents[2] / "docs" / "results" / "fidelity" / "links.json"
FILE = "link_profiles_h100_dgx.csv"
JUDGED_BYTES = 1e6
"""Judged above this size."""
GOAL = 0.10
KINDS = {
    ("send_recv", 2, 2): "send and receive, one node",
    ("send_recv", 2, 1): "send and receive, two nodes",
    ("all_reduce", 2, 2): "all-reduce, 2 GPUs of a node",
    ("all_reduce", 4, 4): "all-reduce, 4 GPUs of a node",
    ("all_reduce", 8, 8): "all-reduce, 8 GPUs of a node",
}
"""Collective, workers and devices a node, in words. The simulator has links, and no collectives."""
BANDS_MB = ((1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 68))


def measured_times(folder: Path, kind: tuple[str, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes above `JUDGED_BYTES` in rising order, and their median seconds."""
    import pandas as pd

    table = pd.read_csv(folder / FILE)
    collective, workers, devices = kind
    of_kind = (table["collective"] == collective) & (table["num_workers"] == workers)
    table = table[of_kind & (table["devices_per_node"] == devices) & (table["size_bytes"] > JUDGED_BYTES)]
    table = table.sort_values("size_bytes")
    return table["size_bytes"].to_numpy(np.float64), table["median_ms"].to_numpy() / 1e3


def link_errors(size_bytes: np.ndarray, time_s: np.ndarray, two_lines: bool) -> tuple[LinkFit, np.ndarray, np.ndarray]:
    """Fit on every other size; the sizes between, and the data plane's time over the measured one, less 1."""
    fit = fit_link(size_bytes[::2], time_s[::2], two_lines=two_lines)
    held = size_bytes[1::2]
    return fit, held, carried_s(fit.plan(), held) / time_s[1::2] - 1.0


def measure(folder: Path) -> list[dict[str, Any]]:
    """All numbers of the tables."""
    found = []
    for kind, words in KINDS.items():
        for two_lines in (False, True):
            fit, held, error = link_errors(*measured_times(folder, kind), two_lines)
            size = np.abs(error)
            bands = [size[(held > low * 1e6) & (held <= high * 1e6)] for low, high in BANDS_MB]
            found.append({
                "what": words, "lines": 1 + two_lines, "judged": len(held), "within": float((size <= GOAL).mean()),
                "mean": float(size.mean()), "p95": float(np.quantile(size, 0.95)), "worst": float(size.max()),
                "worst_bytes": float(held[size.argmax()]), "bands": [[float(b.mean()), float(b.max())] for b in bands],
                "fit": {name: value for name, value in vars(fit).items() if np.isfinite(value)},
                "section": fit.section(),
            })  # fmt: skip
    return found


def read_links() -> Sequence[Mapping[str, Any]]:
    """The kept results."""
    found: Sequence[Mapping[str, Any]] = json.loads(LINKS.read_text(encoding="utf-8"))["rows"]
    return found


def link_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Each kind of transfer with one line and with two."""
    head = (
        "transfer",
        "lines",
        "latency, us",
        "GB/s",
        "below",
        "sizes judged",
        "mean error",
        "95 %",
        "worst",
        "within 10 %",
    )
    lines = ["| " + " | ".join(head) + " |", "| --- " + "| ---: " * (len(head) - 1) + "|"]
    for row in found:
        fit = row["fit"]
        latency, rate = f"{1e6 * fit['latency_s']:.1f}", f"{fit['bytes_per_s'] / 1e9:.1f}"
        below = ""
        if row["lines"] == 2:
            latency = f"{1e6 * fit['small_latency_s']:.1f}, {latency}"
            rate = f"{fit['small_bytes_per_s'] / 1e9:.1f}, {rate}"
            below = f"{fit['small_bytes'] / 2**20:.2f} MiB"
        errors = " | ".join(f"{100 * row[name]:.1f} %" for name in ("mean", "p95", "worst", "within"))
        lines.append(f"| {row['what']} | {row['lines']} | {latency} | {rate} | {below} | {row['judged']} | {errors} |")
    return "\n".join(lines)


def band_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Mean and worst error by size."""
    names = [f"{low} to {high} MB" for low, high in BANDS_MB]
    lines = ["| transfer | lines | " + " | ".join(names) + " |", "| --- | ---: " + "| ---: " * len(names) + "|"]
    for row in found:
        cells = [f"{100 * mean:.1f}, {100 * worst:.1f} %" for mean, worst in row["bands"]]
        lines.append(f"| {row['what']} | {row['lines']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure, write and print."""
    folder = data_folder()
    if folder is None:
        print("no folder of real traces: set RECFLEET_DATA")
        return 2
    found = measure(folder)
    write_json({"rows": found}, LINKS)
    print(link_table(found), band_table(found), sep="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
