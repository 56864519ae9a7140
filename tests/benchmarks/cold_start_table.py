"""Cold starts predicted from profiles beside measured ones, for the tables of docs/fidelity-data.md.

``python -m tests.benchmarks.cold_start_table DIR`` keeps what the logs of `workloads.server` jobs in DIR say of starts,
as ``docs/results/fidelity/cold-starts-h200.json``. `workloads.server.cold_start` writes the other files,
``docs/results/fidelity/fresh-starts-*.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workloads.profile import write_json
from workloads.server.cold_start import PARTS

__all__ = ["GOAL", "fresh_table", "main", "read_fresh", "read_logged", "reading_table"]

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "fidelity"
LOGGED = FOLDER / "cold-starts-h200.json"
GOAL = 0.10
FROM_FILE = ("build_s", "weights_s", "compile_s", "graph_capture_s", "first_inference_s")
"""From file to ready; what comes before is the container's start."""
Row = Mapping[str, Any]


def kept_of(folder: Path) -> list[dict[str, Any]]:
    """A row for each process of each job: what its profile took, and what its own start took."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        if found.get("format") != "recfleet-server-log":
            continue
        replicas = found["job"]["replicas"]
        for number, start in enumerate(found["cold_starts"]):
            profile = found["profiles"][number // replicas]
            rows.append({
                "job": found["job"]["name"],
                "model": profile["model"]["name"], "weights_bytes": profile["model"]["weights_bytes"],
                "profile": profile["resources"]["load"], "start": start,
            })  # fmt: skip
    return rows


def read_logged() -> list[Row]:
    """The kept rows of server logs."""
    rows: list[Row] = json.loads(LOGGED.read_text(encoding="utf-8"))["rows"]
    return rows


def read_fresh() -> list[Row]:
    """The kept rows of starts in processes of their own, of all devices; none where nothing was measured yet."""
    files = sorted(FOLDER.glob("fresh-starts-*.json"))
    return [row for path in files for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]


def reading_table(rows: Sequence[Row]) -> str:
    """How well reading is predicted: by the profile, and by the bandwidth that other models' profiles show."""
    errors = {"the profile's own reading": [], "bytes over the bandwidth of other models": []}  # type: dict[str, list[float]]
    for row in rows:
        others = [r["weights_bytes"] / r["profile"]["weights_s"] for r in rows if r["model"] != row["model"]]
        predicted_s = row["profile"]["weights_s"], row["weights_bytes"] / float(np.median(others))
        for each, value in zip(errors.values(), predicted_s):
            each.append(value / row["start"]["weights_s"] - 1.0)
    lines = ["| reading predicted by | starts | mean abs. error | median | worst | within 10 % |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, found in errors.items():
        size = np.abs(found)
        lines.append(
            f"| {name} | {len(size)} | {100 * size.mean():.1f} % | {100 * np.median(size):.1f} % "
            f"| {100 * size.max():.0f} % | {(size <= GOAL).sum()} |"
        )
    return "\n".join(lines)


def fresh_table(rows: Sequence[Row]) -> str:
    """Starts in processes of their own: median parts, and file to ready predicted by a profile of one more process."""
    if not rows:
        return "Not measured yet."
    names = [part.removesuffix("_s").replace("_", " ") for part in PARTS]
    head = ["model", "device", "starts", *names, "file to ready", "predicted", "error"]
    lines = ["| " + " | ".join(head) + " |", "| --- | --- " + "| ---: " * (len(head) - 2) + "|"]
    for row in rows:
        predicted_s = sum(row["profile"]["load"].get(part, 0.0) for part in FROM_FILE)
        measured = [sum(start[part] for part in FROM_FILE) for start in row["starts"]]
        error = predicted_s / float(np.median(measured)) - 1.0
        model = row["model"]
        cells = [f"{model['model']} {model['precision']} {model['mode']}", row["profile"]["device"], str(len(measured))]
        cells += [f"{np.median([start[part] for start in row['starts']]):.3f}" for part in PARTS]
        cells += [f"{np.median(measured):.2f}", f"{predicted_s:.2f}"]
        cells.append(f"{100 * error:+.1f} %, {'met' if abs(error) <= GOAL else 'missed'}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _told(arguments: Sequence[str]) -> Iterator[str]:
    rows = kept_of(Path(arguments[0]))
    write_json({"rows": rows}, LOGGED)
    yield reading_table(rows)
    yield fresh_table(read_fresh())


def main() -> int:
    """Keep and print."""
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    print(*_told(sys.argv[1:]), sep="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
