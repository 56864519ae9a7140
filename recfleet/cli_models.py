"""``recfleet models``: the zoo at its serving size, and which variants of it were measured where."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from workloads.profile import ModelProfile

__all__ = ["models"]


@dataclass(frozen=True)
class ModelFacts:
    """A model of the zoo at its serving size, in float32; None where torch is needed to know and is not there."""

    name: str
    stage: str | None
    unit: str | None
    summary: str
    parameters: int | None
    embedding_bytes: int | None
    other_bytes: int | None
    variants: tuple[str, ...]
    profiles: dict[str, int]


def models(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the models of the zoo: stage, unit, parameters, bytes of tables and layers, variants and profiles measured.

    Sizes are those of the default configuration in float32; they need torch (the extra recfleet[torch]), or come from
    shipped profiles.
    """
    from workloads.catalogue import shipped_profiles
    from workloads.models import MODEL_NAMES
    from workloads.profile import load_profile

    shipped = [load_profile(name) for name in shipped_profiles()]
    found = [_facts(name, [profile for profile in shipped if profile.model == name]) for name in MODEL_NAMES]
    if as_json:
        typer.echo(json.dumps([asdict(facts) for facts in found], indent=2))
    else:
        _print(found)


def _facts(name: str, measured: list[ModelProfile]) -> ModelFacts:
    from workloads.errors import MissingDependencyError
    from workloads.models import model_module

    variants = tuple(sorted({profile.variant for profile in measured if profile.variant}))
    devices = sorted({profile.device for profile in measured})
    counts = {device: sum(profile.device == device for profile in measured) for device in devices}
    try:
        module = model_module(name)
    except MissingDependencyError:
        drawn = next((profile for profile in measured if profile.precision == "fp32" and not profile.accuracy), None)
        if drawn is None or drawn.document is None:
            return ModelFacts(name, None, None, "", None, None, None, variants, counts)
        total = drawn.document["model"]["parameters"]
        tables = drawn.embedding_bytes
        return ModelFacts(name, drawn.stage, drawn.unit, "", total, tables, 4 * total - tables, variants, counts)
    config = module.default_config()
    total, tables = config.parameter_count(), 4 * config.embedding_count()
    return ModelFacts(
        name,
        module.STAGE,
        module.UNIT,
        _summary(module.__doc__ or ""),
        total,
        tables,
        4 * total - tables,
        variants,
        counts,
    )


def _summary(docstring: str) -> str:
    """What a module's first sentence says between the stage and the first source or full stop."""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return re.split(r" \(|\.(?: |$)", paragraph.partition(": ")[2])[0]


def _print(found: list[ModelFacts]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("model", "stage", "unit"):
        table.add_column(header, no_wrap=True)
    for header in ("parameters", "tables", "layers"):
        table.add_column(header, justify="right")
    for header in ("profiles", "variants measured", "what it is"):
        table.add_column(header)
    for facts in found:
        table.add_row(
            facts.name,
            facts.stage or "-",
            facts.unit or "-",
            "-" if facts.parameters is None else f"{facts.parameters / 1e6:,.1f} M",
            _bytes(facts.embedding_bytes),
            _bytes(facts.other_bytes),
            Text(", ".join(f"{count} on {device}" for device, count in facts.profiles.items()) or "-"),
            Text(", ".join(facts.variants) or "-"),
            Text(facts.summary),
        )
    console.print(table)
    if any(facts.parameters is None for facts in found):
        console.print("Sizes of models without profiles need torch: pip install 'recfleet\\[torch]'")


def _bytes(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 2**30:,.2f} GiB" if count >= 2**29 else f"{count / 2**20:,.1f} MiB"
