"""Tables of prepared data for a terminal: what cleaning did, the parts, the features."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from workloads.interactions.rows import dense_names
from workloads.interactions.types import PreparedData

__all__ = ["print_prepared"]

_PARTS = ("train", "validation", "test")


def print_prepared(data: PreparedData) -> None:
    """Print all tables."""
    console = Console()
    told = Text(data.name, style="bold")
    scale = f"ratings {data.rating_low:g} to {data.rating_high:g}, a like from {data.like_from:g}"
    told.append(f"  {data.users - 1:,} users, {data.items - 1:,} items, {scale}, split by {data.split}", style="none")
    console.print(told)
    if data.report.get("synthetic"):
        console.print("synthetic: nobody logged these; low rank, biases, drifting tastes and noise")
    if "rows_dropped" in data.report:
        console.print(_cleaning(data.report))
    if "split" in data.report:
        console.print(_parts(data.report["split"]))
    else:
        console.print(", ".join(f"{part} {len(getattr(data, part)):,} rows" for part in _PARTS))
    for line in _lines(data):
        console.print(Text(line))


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, header in enumerate(headers):
        table.add_column(header, justify="right" if place else "left", no_wrap=True)
    return table


def _cleaning(report: Mapping[str, Any]) -> Table:
    read = report["rows_read"]
    dropped = {label: rows for label, rows in report["rows_dropped"].items() if rows}
    table = _table("cleaning", "rows", "share")
    for label, rows in (("read", read), *dropped.items(), ("kept", report["rows_kept"])):
        table.add_row(Text(label), f"{rows:,}", f"{rows / read:.2%}")
    return table


def _parts(split: Mapping[str, Any]) -> Table:
    table = _table("part", "rows", "users", "items", "from", "liked", "new users*", "items*")
    for part in _PARTS:
        found = split["parts"][part]
        table.add_row(
            part,
            f"{found['rows']:,}",
            f"{found['users']:,}",
            f"{found['items']:,}",
            _day(found["first_s"]),
            f"{found['liked_share']:.1%}",
            *(_share(found, f"rows_of_new_{kind}_share") for kind in ("users", "items")),
        )
    return table


def _lines(data: PreparedData) -> list[str]:
    lines = []
    report = data.report
    if "split" in report:
        lines.append("* share of the part's rows whose user (item) no earlier part has")
        parts = report["split"]
        if parts["by"] == "time":
            lines.append(f"validation from {parts['validation_from']}, test from {parts['test_from']}")
        elif parts["users_in_training_alone"]:
            lines.append(f"{parts['users_in_training_alone']:,} users have one interaction, which is for training")
    looked_for = [label for label, rows in report.get("rows_dropped", {}).items() if not rows]
    if looked_for:
        lines.append(f"not found: {', '.join(looked_for)}")
    if report.get("rows_of_unknown_order"):
        share = report["rows_of_unknown_order"] / report["rows_kept"]
        lines.append(f"order unknown: {share:.2%} of the rows share their second with another of their user")
    suspects = report.get("suspects")
    if suspects and suspects["users"]:
        most = ", ".join(f"{key} ({rows:,})" for key, rows in suspects["most_active"].items())
        lines.append(
            f"suspect: {suspects['users']:,} users with {suspects['rows']:,} rows have more than "
            f"{suspects['more_on_one_day_than']:,} on one day; {'dropped' if suspects['dropped'] else 'kept'}; "
            f"the most active: {most}"
        )
    for kind, rows, tags in (
        ("user", data.user_category_rows, 0),
        ("item", data.item_category_rows, len(data.tag_names)),
    ):
        names = getattr(data, f"{kind}_category_names") or tuple(f"{kind}_{k}" for k in range(len(rows)))
        columns = ", ".join(f"{name} ({count - 1})" for name, count in zip(names, rows)) or "none"
        missing = report.get(f"{kind}_features", {}).get("not_described", 0)
        lines.append(
            f"{kind} categories (values): {columns}"
            + (f"; {tags} tags" if tags else "")
            + (f"; {missing:,} {kind}s are not described" if missing and rows else "")
        )
    lines.append(f"dense features: {', '.join(dense_names(data))}")
    lines += [f"note: {note}" for note in report.get("notes", ())]
    if report.get("source"):
        lines.append(f"source: {report['source']}; licence: {report['licence']}")
    lines.append(f"digest {data.digest[:16]}")
    return lines


def _share(found: Mapping[str, Any], name: str) -> str:
    return f"{found[name]:.1%}" if name in found else "-"


def _day(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")
