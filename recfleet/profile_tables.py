"""Profiles as tables for a terminal: all of them, their price list, and one by batch size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workloads.interpolation import leave_one_out_error

if TYPE_CHECKING:
    from recfleet.profile_facts import ProfileFacts
    from workloads.profile import ModelProfile

__all__ = ["print_costs", "print_profile", "print_profiles"]

_SHOWN_METRICS = (("auc", "AUC"), ("rmse", "RMSE"), ("ndcg10", "NDCG@10"))


def print_profiles(rows: Sequence[ProfileFacts]) -> None:
    """One row a profile, and what interpolation between sizes costs."""
    console = Console()
    table = _table("profile", "unit", right=_HEADERS, left=("accuracy",))
    for row in rows:
        table.add_row(
            Text(row.name),
            row.unit,
            f"{row.one_p50_ms:.3g} / {row.one_p99_ms:.3g}",
            f"{row.best_batch}" if row.best_batch else "-",
            f"{row.best_p50_ms:.3g} / {row.best_p99_ms:.3g}" if row.best_batch else "-",
            f"{row.units_per_s:,.0f}" if row.best_batch else "-",
            f"{row.memory_bytes / 2**30:.2f}",
            f"{row.load_s:.2f}",
            _number(row.usd_per_million, ".4g"),
            _number(row.joules_per_unit, ".3g"),
            Text(_accuracy(row.accuracy, row.accuracy_data)),
        )
    console.print(table)
    known = [row for row in rows if not math.isnan(row.interpolation_worst)]
    if known:
        medians = sorted(row.interpolation_median for row in known)
        worst = max(known, key=lambda row: row.interpolation_worst)
        console.print(
            f"Interpolation, one inner size left out: median error {medians[len(medians) // 2]:.1%} (over profiles), "
            f"worst {worst.interpolation_worst:.1%} ({worst.name} at {worst.interpolation_worst_batch})",
            markup=False,
        )


_HEADERS = (
    "1: p50 / p99 ms",
    "best batch",
    "its p50 / p99 ms",
    "a second",
    "GiB",
    "load s",
    "USD a million",
    "J a unit",
)


def print_costs(costs: Mapping[tuple[str, str, str], Mapping[str, ProfileFacts]]) -> None:
    """The price list: by model and variant, dollars for a million units on each device, and by which profile."""
    devices = sorted({device for by_device in costs.values() for device in by_device})
    table = _table("model", "weights", "a million", right=tuple(devices), left=("cheapest by",))
    for (model, variant, data), by_device in sorted(costs.items()):
        least = min(by_device.values(), key=lambda row: row.usd_per_million)
        table.add_row(
            Text(f"{model} {variant}".strip()),
            Text(f"trained on {data}" if data else "random"),
            least.unit,
            *(_number(by_device[d].usd_per_million, ".4g") if d in by_device else "-" for d in devices),
            Text(f"{least.name}, batches of {least.best_batch}"),
        )
    Console().print(table)


def print_profile(found: ModelProfile) -> None:
    """One profile by batch size, with what else was measured of it."""
    console = Console()
    head = Text(found.name, style="bold")
    head.append(f"  {found.stage}, {found.precision}, {found.mode}, on {found.device_name}", style="none")
    console.print(head)
    console.print(_sizes(found))
    document = found.document or {}
    if document.get("interference"):
        console.print(_interference(document["interference"]))
    console.print(
        f"weights {found.weights_bytes / 2**30:.2f} GiB, device memory {found.device_memory_bytes / 2**30:.2f} GiB, "
        f"host memory {found.host_memory_bytes / 2**30:.2f} GiB, load {found.load_s:.2f} s, "
        f"{found.provenance} on {found.date}",
        markup=False,
    )
    for line in _lines(found, document):
        console.print(line, markup=False)


def _sizes(found: ModelProfile) -> Table:
    roofline = (found.document or {}).get("roofline")
    energy = found.energy_j_per_unit()
    extra = (["J a unit"] if len(found.busy_power_w) else []) + (["of roofline"] if roofline else [])
    headers = ("p50 ms", "p95 ms", "p99 ms", "a second", "CPU core-ms", "timings", *extra)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in (found.unit, *headers):
        table.add_column(header, justify="right")
    table.add_column("")
    columns = (found.quantile_s(0.5), found.quantile_s(0.95), found.quantile_s(0.99))
    throughput = found.throughput_per_s()
    for index, size in enumerate(found.batch_sizes):
        cells = [str(size), *(f"{column[index] * 1e3:.3f}" for column in columns)]
        cells += [f"{throughput[index]:,.0f}", f"{found.cpu_core_s[index] * 1e3:.3f}", str(found.runs[index])]
        cells += [f"{energy[index]:.3g}"] if len(found.busy_power_w) else []
        cells += [f"{roofline['ratio'][index]:.1%} {roofline['limit'][index]}"] if roofline else []
        table.add_row(*cells, "two groups" if found.two_modes[index] else "")
    return table


def _interference(part: Mapping[str, Any]) -> Table:
    """Slowdown by replicas and size."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("replicas at once")
    for size in part["batch_sizes"]:
        table.add_column(f"at {size}", justify="right")
    for count, slowdown, throughput in zip(part["replicas"], part["slowdown"], part["throughput_ratio"]):
        cells = (f"{slow:.2f} x, {count * share:.2f} x" for slow, share in zip(slowdown, throughput))
        table.add_row(f"{count}: latency, all throughput", *cells)
    return table


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


def _accuracy(metrics: Mapping[str, float], data: str) -> str:
    shown = [f"{word} {metrics[name]:.3f}" for name, word in _SHOWN_METRICS if name in metrics]
    return f"{', '.join(shown)} ({data})" if shown else "-"


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _table(*first: str, right: Sequence[str], left: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, header in enumerate(first):
        table.add_column(header, no_wrap=index == 0)
    for header in right:
        table.add_column(header, justify="right")
    for header in left:
        table.add_column(header)
    return table
