"""``recfleet policies`` and ``recfleet schema``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["SchemaKind", "policies", "schema"]


class SchemaKind(StrEnum):
    """File formats that have a JSON Schema."""

    SCENARIO = "scenario"
    PROFILE = "profile"


def policies() -> None:
    """List the policies that can be named, built in and installed.

    A policy of your own is path/to/file.py:Class.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from optimizer.registry import available_policies

    table = Table("name", "what it does", box=None, pad_edge=False, header_style="bold")
    for name, line in available_policies().items():
        table.add_row(Text(name), Text(line))
    Console().print(table)


def schema(kind: Annotated[SchemaKind, typer.Argument(help="Which file format.")]) -> None:
    """Print the JSON Schema of a file format, for editors and checks."""
    if kind is SchemaKind.PROFILE:
        from workloads.profile import schema_text

        typer.echo(schema_text())
        return
    from simulator.scenario_file import ScenarioFile

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **ScenarioFile.model_json_schema()}
    typer.echo(json.dumps(document, indent=2))
