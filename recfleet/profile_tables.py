"""Profiles as tables for a terminal: all of them, their price list, and one by batch size."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recfleet.fitted_table import NOTHING, Column, aligned, folded, print_fitted, print_line, significant, with_prefix
from workloads.interpolation import leave_one_out_error

if TYPE_CHECKING:
    from recfleet.profile_facts import ProfileFacts
    from workloads.profile import ModelProfile

__all__ = ["headed", "print_costs", "print_profile", "print_profiles"]

_SHOWN_METRICS = (("auc", "AUC", 4), ("ndcg10", "NDCG@10", 8), ("rmse", "RMSE", 9))
"""Metrics of trained models, their headings and their ranks among the columns."""

_FOLD = 30
"""Width of a profile's name in a narrow terminal."""


def print_profiles(rows: Sequence[ProfileFacts], wide: bool = False) -> None:
    """One row a profile, and what interpolation between sizes costs."""
    shown = print_fitted(_columns(rows), wide)
    if not any(column.title == "unit" for column in shown):
        units = sorted({row.unit for row in rows})
        models = (", ".join(sorted({row.model for row in rows if row.unit == unit})) for unit in units)
        print_line(f"Units are {'; '.join(f'{unit} for {names}' for unit, names in zip(units, models))}.")
    known = [row for row in rows if not math.isnan(row.interpolation_worst)]
    if known:
        worst = max(known, key=lambda row: row.interpolation_worst)
        print_line(
            "Interpolation, one inner size left out: median error "
            f"{statistics.median(row.interpolation_median for row in known):.1%} (over profiles), "
            f"worst {worst.interpolation_worst:.1%} ({worst.name} at {worst.interpolation_worst_batch})."
        )


def _columns(rows: Sequence[ProfileFacts]) -> list[Column]:
    """What is known of each profile; the ranks say what matters most."""
    found = [row.best_batch > 0 for row in rows]
    return [
        Column("profile", [row.name for row in rows], right=False, fold=_FOLD),
        Column("unit", [row.unit for row in rows], right=False, rank=10),
        Column("p50 ms\nof 1", [significant(row.one_p50_ms) for row in rows], rank=1),
        Column("p99 ms\nof 1", [significant(row.one_p99_ms) for row in rows], rank=13),
        Column("best\nbatch", [str(row.best_batch) if row.best_batch else NOTHING for row in rows], rank=6),
        Column("its p50\nms", [significant(row.best_p50_ms) for row in rows], rank=14),
        Column("its p99\nms", [significant(row.best_p99_ms) for row in rows], rank=5),
        Column(
            "units a\nsecond", [with_prefix(row.units_per_s) if ok else NOTHING for row, ok in zip(rows, found)], rank=2
        ),
        Column("USD a\nmillion", [significant(row.usd_per_million) for row in rows], rank=3),
        Column("GiB", [f"{row.memory_bytes / 2**30:.2f}" for row in rows], rank=7),
        Column("load s", [f"{row.load_s:.2f}" for row in rows], rank=11),
        Column("J a unit", [significant(row.joules_per_unit) for row in rows], rank=12),
        *(
            Column(word, [significant(row.accuracy.get(name, math.nan)) for row in rows], rank=rank)
            for name, word, rank in _SHOWN_METRICS
        ),
        Column("trained on", [row.accuracy_data or NOTHING for row in rows], right=False, rank=15),
    ]


def print_costs(costs: Mapping[tuple[str, str, str], Mapping[str, ProfileFacts]], wide: bool = False) -> None:
    """The price list: by model and variant, dollars for a million units on each device, and by which profile."""
    lines = sorted(costs.items())
    devices = sorted({device for _, by_device in lines for device in by_device})
    least = [min(by_device.values(), key=lambda row: row.usd_per_million) for _, by_device in lines]
    print_fitted(
        [
            Column(
                "USD for a\nmillion by",
                [f"{model} {variant}".strip() for (model, variant, _), _ in lines],
                right=False,
                fold=_FOLD,
            ),
            Column("trained on", [data or NOTHING for (_, _, data), _ in lines], right=False, rank=1),
            Column("unit", [row.unit for row in least], right=False, rank=2),
            *(
                Column(
                    headed(device),
                    [significant(row[device].usd_per_million) if device in row else NOTHING for _, row in lines],
                )
                for device in devices
            ),
            Column("cheapest by", [row.name for row in least], right=False, rank=3, fold=_FOLD),
            Column("in batches\nof", [str(row.best_batch) for row in least], rank=4),
        ],
        wide,
    )


def print_profile(found: ModelProfile, wide: bool = False) -> None:
    """One profile by batch size, with what else was measured of it."""
    print_line(f"{found.name}: {found.stage}, {found.precision}, {found.mode}, on {found.device_name}")
    print_fitted(_by_size(found), wide, hint="recfleet profiles NAME --wide shows all")
    document = found.document or {}
    if document.get("interference"):
        print_fitted(_by_replicas(document["interference"]), wide)
    print_line(
        f"weights {found.weights_bytes / 2**30:.2f} GiB, device memory {found.device_memory_bytes / 2**30:.2f} GiB, "
        f"host memory {found.host_memory_bytes / 2**30:.2f} GiB, load {found.load_s:.2f} s, "
        f"{found.provenance} on {found.date}"
    )
    for line in _lines(found, document):
        print_line(line)


def headed(device: str) -> str:
    """A device's id as a heading of several short lines."""
    return folded(device, 10)


def _by_size(found: ModelProfile) -> list[Column]:
    """Latency, throughput and what else was measured, by batch size."""
    roofline = (found.document or {}).get("roofline")
    of_ceilings = (
        [f"{ratio:.1%} {limit}" for ratio, limit in zip(roofline["ratio"], roofline["limit"])] if roofline else []
    )
    return [
        Column(found.unit, [str(size) for size in found.batch_sizes]),
        *(
            Column(f"p{level * 100:.0f} ms", aligned((found.quantile_s(level) * 1e3).tolist()), rank=rank)
            for level, rank in ((0.5, 1), (0.95, 5), (0.99, 2))
        ),
        Column("a second", [with_prefix(value, 4) for value in found.throughput_per_s()], rank=3),
        Column("CPU\ncore-ms", aligned((found.cpu_core_s * 1e3).tolist()), rank=6),
        Column("runs", [str(count) for count in found.runs], rank=8),
        Column("J a unit", [significant(value) for value in found.energy_j_per_unit()], rank=7),
        Column("of roofline", of_ceilings or [NOTHING] * len(found.batch_sizes), rank=4),
        Column("", ["two groups" if two else NOTHING for two in found.two_modes], right=False, rank=9),
    ]


def _by_replicas(part: Mapping[str, Any]) -> list[Column]:
    """What replicas do to one another, by how many there are and batch size."""
    counts, sizes = part["replicas"], part["batch_sizes"]
    labels = [text for n in counts for text in (f"{n} replicas: latency of each", f"{n} replicas: throughput of all")]
    columns = [Column("times that of one alone", labels, right=False)]
    for place, size in enumerate(sizes):
        pairs = zip(counts, part["slowdown"], part["throughput_ratio"])
        ratios = [ratio for n, slower, share in pairs for ratio in (slower[place], n * share[place])]
        columns.append(Column(f"at {size}", [f"{ratio:.2f}" for ratio in ratios], rank=1 + place))
    return columns


def _lines(found: ModelProfile, document: Mapping[str, Any]) -> list[str]:
    """What stands below the table."""
    lines = []
    if found.variant:
        lines.append(f"compressed: {found.variant}, of {document['variant']['of']}")
    if found.accuracy:
        every = ", ".join(f"{name} {value:.4g}" for name, value in found.accuracy.items())
        lines.append(f"accuracy on {found.accuracy_data}, {document['accuracy']['part']} part: {every}")
    if roofline := document.get("roofline"):
        lines.append(
            f"ceilings: {roofline['matmul_flop_per_s'] / 1e12:.3g} TFLOP/s, "
            f"{roofline['stream_bytes_per_s'] / 1e9:.4g} GB/s, "
            f"gathering rows {roofline['gather_bytes_per_s'] / 1e9:.3g} GB/s"
        )
    if interference := document.get("interference"):
        lines.append(f"interference: {interference['how']}")
    error = leave_one_out_error(found)
    if len(error.error):
        lines.append(
            f"interpolation, one inner size left out: median error {error.median:.1%}, "
            f"worst {error.worst:.1%} at {error.worst_batch_size}"
        )
    return lines + [f"note: {note}" for note in found.notes]
