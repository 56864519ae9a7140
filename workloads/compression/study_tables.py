"""A study as Markdown: sizes and accuracy of each variant, and latencies beside the unchanged model's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from workloads.compression.study_file import StudyFile
from workloads.compression.study_settings import UNCHANGED

__all__ = ["accuracy_table", "latency_table", "study_tables"]

_METRICS = ("auc", "rmse", "ndcg10", "recall10")


def study_tables(studies: Iterable[StudyFile]) -> str:
    """Both tables for each model and size, under headings."""
    parts = []
    for study in studies:
        for model, size in _ordered((row["model"], row["size"]) for row in study.variants):
            variants = [row for row in study.variants if (row["model"], row["size"]) == (model, size)]
            latencies = [row for row in study.latencies if (row["model"], row["size"]) == (model, size)]
            parts.append(f"### {model}, {size} size\n\n{accuracy_table(variants)}")
            for name in _ordered((row["device_name"],) for row in latencies):
                parts.append(f"{name[0]}:\n\n{latency_table([r for r in latencies if r['device_name'] == name[0]])}")
    return "\n\n".join(parts)


def accuracy_table(variants: Sequence[dict[str, Any]]) -> str:
    """Sizes, operations and metrics; shares are of the unchanged model."""
    whole = next((row for row in variants if row["method"] == UNCHANGED), None)
    metrics = [name for name in _METRICS if any(name in row.get("metrics", {}) for row in variants)]
    lines = [
        "| method | on disk | in memory | parameters | operations | " + " | ".join([*metrics, "remark"]) + " |",
        "| --- | ---: | ---: | ---: | ---: | " + "---: | " * len(metrics) + "--- |",
    ]
    for row in variants:
        if "not_applicable" in row:
            lines.append(f"| {row['method']} | " + "| " * (4 + len(metrics)) + f"| {row['not_applicable']} |")
            continue
        base = whole["sizes"] if whole is not None and "sizes" in whole else {}
        cells = [
            _bytes(row["sizes"].get("disk_bytes"), base.get("disk_bytes")),
            _bytes(row["sizes"]["memory_bytes"], base.get("memory_bytes")),
            _count(row["sizes"]["nonzero_parameters"], base.get("nonzero_parameters")),
            _count(row["sizes"]["nonzero_flops_per_unit"], base.get("nonzero_flops_per_unit")),
            *(_metric(row["metrics"].get(name)) for name in metrics),
        ]
        lines.append(f"| {row['method']} | " + " | ".join(cells) + f" | {_remark(row)} |")
    return "\n".join(lines)


def latency_table(latencies: Sequence[dict[str, Any]]) -> str:
    """Median milliseconds by mode and batch size, each with its ratio to the unchanged model's in the same run."""
    columns = _ordered((row["mode"], row["batch"]) for row in latencies)
    cells = {(row["method"], row["mode"], row["batch"]): row for row in latencies}
    lines = [
        "| method | " + " | ".join(f"{mode}, {batch}" for mode, batch in columns) + " |",
        "| --- | " + "---: | " * len(columns),
    ]
    for (method,) in _ordered((row["method"],) for row in latencies):
        shown = [_latency(cells.get((method, mode, batch))) for mode, batch in columns]
        lines.append(f"| {method} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _latency(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["error"]:
        return "fails"
    text = f"{row['p50_s'] * 1e3:.3g}"
    if row["method"] == UNCHANGED or row["unchanged_p50_s"] is None:
        return text
    return f"{text} ({row['p50_s'] / row['unchanged_p50_s']:.2f})"


def _remark(row: dict[str, Any]) -> str:
    remarks = []
    for step in row["steps"]:
        if "removed_share" in step:
            remarks.append(f"{step['removed_share']:.0%} of the prunable parts removed")
        if "zero_share" in step:
            remarks.append(f"{step['zero_share']:.0%} of the weights zero")
    return ", ".join(remarks)


def _bytes(value: float | None, whole: float | None) -> str:
    if value is None:
        return ""
    unit, scale = next(((u, s) for u, s in (("GiB", 2**30), ("MiB", 2**20)) if value >= s), ("KiB", 2**10))
    return _with_share(f"{value / scale:.3g} {unit}", value, whole)


def _count(value: float, whole: float | None) -> str:
    unit, scale = next(((u, s) for u, s in ((" G", 1e9), (" M", 1e6), (" k", 1e3)) if value >= s), ("", 1.0))
    return _with_share(f"{value / scale:.3g}{unit}", value, whole)


def _with_share(text: str, value: float, whole: float | None) -> str:
    return f"{text} ({value / whole:.0%})" if whole and value != whole else text


def _metric(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _ordered(keys: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Each key once, in order of first appearance."""
    return list(dict.fromkeys(keys))
