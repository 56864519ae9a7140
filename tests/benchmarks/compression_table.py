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

__all__ = ["FOLDER", "claim_table", "main", "read_studies", "serving_table"]

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "results" / "compression"
MODELS = ("bert_reranker", "dlrm", "sasrec")
_MODES = ("eager", "compiled", "cuda_graph", "compiled_graph")
_ACCURACY_OF = {"sasrec": "ndcg10"}
_PRUNED_AND_INT8 = ("structured+int8-dynamic", "structured+int8-legacy", "magnitude+int8-dynamic")
_PRUNED = ("structured", "structured+bf16", *_PRUNED_AND_INT8)
_ACCURACY_KEPT, _OPERATIONS_LEFT, _LATENCY_LEFT = 0.9, 0.5, 0.7


def read_studies(models: tuple[str, ...] = (), folder: Path = FOLDER) -> list[StudyFile]:
    """The kept studies, by file name; of some models alone where they are named."""
    studies = [read_study(path) for path in sorted(folder.glob("*.json"))]
    return [study for study in studies if not models or study.variants[0]["model"] in models]


def claim_table(studies: list[StudyFile], models: tuple[str, ...] = MODELS) -> str:
    """What each pruned variant of a trained model keeps: accuracy, operations, and latency by device and mode."""
    lines = [
        "| model | variant | accuracy kept | operations left | device | "
        + " | ".join(f"{mode}, 1 / 8 / 32" for mode in _MODES)
        + " | holds at |",
        "| --- | --- | ---: | ---: | --- | " + "---: | " * len(_MODES) + "--- |",
    ]
    for model in models:
        variants = _variants(studies, model, "trained")
        for method in _PRUNED:
            if method in variants and variants[method].get("metrics"):
                lines += _rows(model, method, variants, _latencies(studies, model, method, "trained"))
    return "\n".join(lines)


def serving_table(studies: list[StudyFile], models: tuple[str, ...] = MODELS) -> str:
    """What variants of a model at serving size, with random weights, leave of operations and latency."""
    batches = (1, 8, 32, 256)
    heads = [f"{mode}, {' / '.join(map(str, batches))}" for mode in ("cuda_graph", "compiled_graph")]
    lines = [
        f"| model | variant | operations left | {' | '.join(heads)} | holds at |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for model in models:
        variants = _variants(studies, model, "serving")
        for method in (*_PRUNED, "bf16", "int8-dynamic"):
            latencies = _latencies(studies, model, method, "serving")
            if method not in variants or not latencies:
                continue
            left = _operations_left(variants, method)
            ratios = {mode: _ratios(latencies, mode) for mode in ("cuda_graph", "compiled_graph")}
            cells = [_shown(ratios[mode], batches) for mode in ratios]
            holds = _holds(ratios) if left <= _OPERATIONS_LEFT else ""
            lines.append(f"| `{model}` | {method} | {left:.0%} | {' | '.join(cells)} | {holds} |")
    return "\n".join(lines)


def _rows(model: str, method: str, variants: dict[str, dict[str, Any]], latencies: list[dict[str, Any]]) -> list[str]:
    metric = _ACCURACY_OF.get(model, "auc")
    kept = variants[method]["metrics"][metric] / variants["none"]["metrics"][metric]
    left = _operations_left(variants, method)
    lines = []
    for device in dict.fromkeys(row["device_name"] for row in latencies):
        here = [row for row in latencies if row["device_name"] == device]
        ratios = {mode: _ratios(here, mode) for mode in _MODES}
        cells = [_shown(ratios[mode], (1, 8, 32)) for mode in _MODES]
        holds = _holds(ratios) if kept >= _ACCURACY_KEPT and left <= _OPERATIONS_LEFT else ""
        start = f"| `{model}` | {method} | {kept:.1%} ({metric}) | {left:.0%} | {device} | "
        lines.append(start + " | ".join(cells) + f" | {holds} |")
    return lines


def _variants(studies: list[StudyFile], model: str, size: str) -> dict[str, dict[str, Any]]:
    rows = [row for study in studies for row in study.variants if (row["model"], row["size"]) == (model, size)]
    return {row["method"]: row for row in rows if "sizes" in row}


def _latencies(studies: list[StudyFile], model: str, method: str, size: str) -> list[dict[str, Any]]:
    wanted = (model, method, size)
    rows = [row for study in studies for row in study.latencies]
    return [row for row in rows if (row["model"], row["method"], row["size"]) == wanted]


def _operations_left(variants: dict[str, dict[str, Any]], method: str) -> float:
    counts = [variants[name]["sizes"]["nonzero_flops_per_unit"] for name in (method, "none")]
    return float(counts[0] / counts[1])


def _ratios(latencies: list[dict[str, Any]], mode: str) -> dict[int, float | None]:
    """Latency over the unchanged model's in the same mode, by batch; None where it fails."""
    return {
        row["batch"]: None if row["error"] or not row["unchanged_p50_s"] else row["p50_s"] / row["unchanged_p50_s"]
        for row in latencies
        if row["mode"] == mode
    }


def _shown(ratios: dict[int, float | None], batches: tuple[int, ...]) -> str:
    if not ratios:
        return ""
    if all(ratio is None for ratio in ratios.values()):
        return "fails"
    found = [ratios.get(batch) for batch in batches]
    return " / ".join("fails" if ratio is None else f"{ratio:.2f}" for ratio in found)


def _holds(ratios: dict[str, dict[int, float | None]]) -> str:
    """Modes and batches at which latency falls as claimed."""
    fine = {
        mode: [batch for batch, ratio in by_batch.items() if ratio is not None and ratio <= _LATENCY_LEFT]
        for mode, by_batch in ratios.items()
    }
    return "; ".join(f"{mode} {', '.join(map(str, sorted(found)))}" for mode, found in fine.items() if found)


def main(models: list[str]) -> int:
    """Print the tables."""
    studies = read_studies(tuple(models))
    for table in (claim_table, serving_table):
        print(table(studies))
        print()
    print(study_tables(studies))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
