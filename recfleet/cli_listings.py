"""``recfleet schema``."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["SchemaKind", "schema"]


class SchemaKind(StrEnum):
    """File formats that have a JSON Schema."""

    SCENARIO = "scenario"
    PROFILE = "profile"


def schema(kind: Annotated[SchemaKind, typer.Argument(help="Which file format.")]) -> None:
    """Print the JSON Schema of a file format, for editors and checks."""
    if kind is SchemaKind.PROFILE:
        from workloads.profile import schema_text

        typer.echo(schema_text())
        return
    from simulator.scenario_file import ScenarioFile

    schema = ScenarioFile.model_json_schema()
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "recfleet scenario"}
    typer.echo(json.dumps(document, indent=2))
