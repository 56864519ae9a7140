"""``recfleet policies``: what can be named, and what it can be told."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from optimizer.policy_help import PolicyHelp

__all__ = ["policies"]


def policies(
    name: Annotated[
        str | None, typer.Argument(help="A policy, path.py:Class or a wrapper, to see its options.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List policies and wrappers, or the options of one with defaults and units.

    A policy of your own is path/to/file.py:Class; docs/writing-policies.md shows how.

    Examples: recfleet policies ; recfleet policies mip ; recfleet policies cooldown --json
    """
    from optimizer.policy_help import describe_policy, list_policies

    if name is None:
        everything = list_policies()
        if as_json:
            typer.echo(
                json.dumps([{k: v for k, v in asdict(p).items() if k != "options"} for p in everything], indent=2)
            )
        else:
            _print_list(everything)
        return
    found = describe_policy(name)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        _print_one(found)


def _print_list(everything: list[PolicyHelp]) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from recfleet.fitted_table import table_console

    console = table_console()
    for title, meaning, wrappers in (
        ("policy", "what it does", False),
        ("wrapper", "what it does, around any policy", True),
    ):
        table = Table(Column(title, no_wrap=True), meaning, box=None, pad_edge=False, header_style="bold")
        for one in everything:
            if (one.kind == "wrapper") == wrappers:
                table.add_row(Text(one.name), Text(one.summary))
        console.print(table)
        if not wrappers:
            console.print()


def _print_one(found: PolicyHelp) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from recfleet.fitted_table import table_console

    console = table_console()
    console.print(Text(f"{found.name} ({found.kind}): {found.summary}"))
    if not found.options:
        console.print(Text("No options."))
        return
    whole = (Column(heading, no_wrap=True) for heading in ("option", "default", "unit"))
    table = Table(*whole, "what it does", box=None, pad_edge=False, header_style="bold")
    for option in found.options:
        default = "must be given" if option.default is None else option.default
        table.add_row(Text(option.name), Text(default), Text(option.unit), Text(option.text))
    console.print(table)
