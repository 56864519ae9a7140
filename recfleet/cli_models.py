"""``recfleet models``: the zoo at its serving size, and which variants of it were measured where."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from workloads.errors import InputError

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


def models(
    name: Annotated[str | None, typer.Argument(help="A model, to see it by itself.", show_default=False)] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Show all columns, however narrow the terminal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models of the zoo, or show one: stage, unit, parameters, bytes of tables and layers, what was measured.

    Shows as many columns as the terminal has room for; into a file or a pipe, all of them.
    Sizes are those of the default configuration in float32; they need torch (the extra recfleet[torch]), or come from
    shipped profiles.

    Examples: recfleet models ; recfleet models dlrm
    """
    from workloads.catalogue import shipped_profiles
    from workloads.models import MODEL_NAMES
    from workloads.profile import load_profile

    shipped = [load_profile(name) for name in shipped_profiles()]
    wanted = MODEL_NAMES if name is None else (_known(name, MODEL_NAMES),)
    found = [_facts(one, [profile for profile in shipped if profile.model == one]) for one in wanted]
    if name is not None:
        if as_json:
            typer.echo(json.dumps(asdict(found[0]), indent=2))
        else:
            _print_one(found[0], [profile.name for profile in shipped if profile.model == wanted[0]])
        return
    if as_json:
        typer.echo(json.dumps([asdict(facts) for facts in found], indent=2))
    else:
        _print(found, wide)


def _known(name: str, known: Sequence[str]) -> str:
    """The model of that name, however its words are joined."""
    from optimizer.options import suggestion

    found = name.strip().lower().replace("-", "_")
    if found not in known:
        raise InputError(f"model {name!r}", "is not in the zoo", suggestion(found, known, "models"))
    return found


def _facts(name: str, measured: list[ModelProfile]) -> ModelFacts:
    from workloads.errors import MissingDependencyError
    from workloads.models import model_module

    variants = tuple(sorted({profile.variant for profile in measured if profile.variant}))
    devices = sorted({profile.device for profile in measured})
    counts = {device: sum(profile.device == device for profile in measured) for device in devices}
    try:
        module = model_module(name)
    except MissingDependencyError:
        whole = (profile for profile in measured if not (profile.variant or profile.accuracy))
        drawn = next((profile for profile in whole if profile.precision == "fp32"), None)
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


def _print(found: list[ModelFacts], wide: bool) -> None:
    from recfleet.fitted_table import NOTHING, Column, print_fitted, print_line
    from recfleet.profile_tables import headed

    devices = sorted({device for facts in found for device in facts.profiles})
    parameters = (facts.parameters for facts in found)
    columns = [
        Column("model", [facts.name for facts in found], right=False),
        Column("stage", [facts.stage or NOTHING for facts in found], right=False),
        Column("parameters", [NOTHING if n is None else f"{n / 1e6:,.1f} M" for n in parameters]),
        Column("tables", [_bytes(facts.embedding_bytes) for facts in found], rank=1),
        Column("layers", [_bytes(facts.other_bytes) for facts in found], rank=1),
        *(
            Column(f"profiles\n{headed(device)}", [str(facts.profiles.get(device, 0)) for facts in found], rank=2)
            for device in devices
        ),
        Column("unit", [facts.unit or NOTHING for facts in found], right=False, rank=3),
        Column("what it is", [facts.summary or NOTHING for facts in found], right=False, rank=4),
        Column("variants measured", [", ".join(facts.variants) or NOTHING for facts in found], right=False, rank=5),
    ]
    print_fitted(columns, wide)
    if any(facts.parameters is None for facts in found):
        print_line("Sizes of models without profiles need torch: pip install 'recfleet[torch]'")


def _print_one(facts: ModelFacts, profiles: Sequence[str]) -> None:
    from recfleet.fitted_table import NOTHING, print_line

    print_line(f"{facts.name}: {facts.summary}" if facts.summary else facts.name)
    parameters = NOTHING if facts.parameters is None else f"{facts.parameters / 1e6:,.1f} M"
    sizes = f"{_bytes(facts.embedding_bytes)} of tables, {_bytes(facts.other_bytes)} of layers in float32"
    print_line(f"stage {facts.stage or NOTHING}, counted in {facts.unit or NOTHING}; {parameters} parameters ({sizes})")
    if facts.parameters is None:
        print_line("Its sizes need torch: pip install 'recfleet[torch]'")
    print_line(f"variants measured: {', '.join(facts.variants) or 'none'}")
    for profile in profiles:
        print_line(profile, indent="  ")
    if profiles:
        print_line(
            f"What they measured: recfleet profiles --model {facts.name}; of one: recfleet profiles {profiles[0]}"
        )


def _bytes(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 2**30:,.2f} GiB" if count >= 2**29 else f"{count / 2**20:,.1f} MiB"
