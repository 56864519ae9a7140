"""`python -m tests.benchmarks.compression_table [MODEL ...]`: the tables of `docs/compression.md`, from kept studies.

Reads ``docs/results/compression/``: what ``recfleet compress FOLDER --study`` wrote, by model and device. First the
claim that 70 % pruned and int8 keep 90 % of the accuracy at half the operations and 30 % less latency.
Then all studies.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from workloads.compression.study_file import StudyFile, read_study
from workloads.compression.study_tables import study_tables

__all__ = ["FOLDER", "claim_table", "main", "read_studies"]

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "compression"
_ACCURACY_OF = {"sasrec": "ndcg10"}
_PRUNED_AND_INT8 = ("structured+int8-dynamic", "structured+int8-legacy", "magnitude+int8-dynamic")
_PRUNED = ("structured", "structured+bf16", *_PRUNED_AND_INT8)
_ACCURACY_KEPT, _OPERATIONS_LEFT, _LATENCY_LEFT = 0.9, 0.5, 0.7


def read_studies(models: tuple[str, ...] = (), folder: Path = FOLDER) -> list[StudyFile]:
    """The kept studies, by file name; of some models alone where they are named."""
    studies = [read_study(path) for path in sorted(folder.glob("*.json"))]
    return [study for study in studies if not models or study.variants[0]["model"] in models]


def claim_table(studies: list[StudyFile], models: tuple[str, ...] = ("dlrm", "sasrec", "bert_reranker")) -> str:
    """What each pruned variant keeps: accuracy, operations, and latency at batch 1, 8 and 32 by device and mode."""
    lines = [
        "| model | variant | accuracy kept | operations left | device | mode "
        "| latency left, batch 1 / 8 / 32 | holds at |",
        "| --- | --- | ---: | ---: | --- | --- | ---: | --- |",
    ]
    for model in models:
        variants = {
            row["method"]: row
            for study in studies
            for row in study.variants
            if row["model"] == model and row["size"] == "trained" and row.get("metrics")
        }
        latencies = [row for study in studies for row in study.latencies if row["model"] == model]
        for method in _PRUNED:
            if method in variants and "none" in variants:
                lines += _rows(model, method, variants, [row for row in latencies if row["method"] == method])
    return "\n".join(lines)


def _rows(model: str, method: str, variants: dict[str, dict[str, Any]], latencies: list[dict[str, Any]]) -> list[str]:
    metric = _ACCURACY_OF.get(model, "auc")
    kept = variants[method]["metrics"][metric] / variants["none"]["metrics"][metric]
    sizes, whole = variants[method]["sizes"], variants["none"]["sizes"]
    left = sizes["nonzero_flops_per_unit"] / whole["nonzero_flops_per_unit"]
    start = f"| `{model}` | {method} | {kept:.1%} ({metric}) | {left:.0%} |"
    lines = []
    for device, mode in dict.fromkeys((row["device_name"], row["mode"]) for row in latencies):
        ratios = {
            row["batch"]: row["p50_s"] / row["unchanged_p50_s"]
            for row in latencies
            if (row["device_name"], row["mode"]) == (device, mode) and not row["error"] and row["unchanged_p50_s"]
        }
        shown = " / ".join(f"{ratios[batch]:.2f}" if batch in ratios else "fails" for batch in (1, 8, 32))
        fine = kept >= _ACCURACY_KEPT and left <= _OPERATIONS_LEFT
        holds = [str(batch) for batch, ratio in ratios.items() if fine and ratio <= _LATENCY_LEFT]
        lines.append(f"{start} {device} | {mode} | {shown} | {', '.join(holds) or 'no batch size'} |")
    return lines


def main(models: list[str]) -> int:
    """Print the tables."""
    studies = read_studies(tuple(models))
    print(claim_table(studies))
    print()
    print(study_tables(studies))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
