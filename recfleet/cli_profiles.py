"""``recfleet profiles``: what was measured, as a table with costs, or one profile by batch size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workloads.errors import InputError

if TYPE_CHECKING:
    from recfleet.profile_facts import ProfileFacts
    from workloads.profile import ModelProfile

    _Costs = dict[tuple[str, str, str], dict[str, ProfileFacts]]

__all__ = ["profiles"]


def profiles(
    name: Annotated[
        str | None, typer.Argument(help="A profile to show in full, by name or file.", show_default=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    device: Annotated[str | None, typer.Option(help="Only this device: cpu, cuda, or part of its id.")] = None,
    precision: Annotated[str | None, typer.Option(help="Only fp32, bf16 or int8.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Profiles in this folder, in place of the shipped ones.")] = None,
    within_ms: Annotated[
        float | None, typer.Option(help="Only batches whose 99th percentile is at most that count as best.")
    ] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="DEVICE=USD an hour, again for each device; cpu is one core.")
    ] = None,
    costs: Annotated[bool, typer.Option("--costs", help="A price list: each model on each device.")] = False,
    wide: Annotated[bool, typer.Option("--wide", help="Show all columns, however narrow the terminal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List profiles: latency of one and at the best batch, throughput, memory, accuracy, cost of a million units.

    Shows as many columns as the terminal has room for; into a file or a pipe, all of them.
    A cost is that of replicas which are never idle. Examples: recfleet profiles --model dlrm --costs ; recfleet
    profiles dlrm-h200-bf16-graph
    """
    from recfleet.fitted_table import print_line
    from recfleet.price_list import ASSUMPTION, prices
    from recfleet.profile_facts import cheapest, facts_of
    from recfleet.profile_tables import print_costs, print_profile, print_profiles

    table = prices(price or [])
    if name is not None:
        from workloads.profile import load_profile

        found = load_profile(name)
        if as_json:
            typer.echo(json.dumps(facts_of(found, table, _limit(within_ms)).as_dict(), indent=2))
        else:
            print_profile(found, wide)
        return
    every = _all(folder)
    _check_priced(price or [], every)
    _check_filters(every, model, device, precision)
    wanted = _filtered(every, model, device, precision)
    if not wanted:
        raise InputError("profiles", "none is left by these filters", "loosen them; without any, all are listed")
    rows = [facts_of(profile, table, _limit(within_ms)) for profile in wanted]
    if as_json:
        typer.echo(json.dumps([row.as_dict() for row in rows], indent=2))
        return
    if costs:
        print_costs(_priced(cheapest(rows)), wide)
    else:
        print_profiles(rows, wide)
    if not price:
        print_line(f"({ASSUMPTION}; give --price for others)")


def _priced(costs: _Costs) -> _Costs:
    if not costs:
        raise InputError(
            "--costs", "no batch here has a price", "price the devices with --price, or loosen --within-ms"
        )
    return costs


def _check_priced(price: list[str], every: list[ModelProfile]) -> None:
    from optimizer.options import suggestion

    known = ["cpu", *dict.fromkeys(profile.device for profile in every)]
    for text in price:
        device = text.partition("=")[0]
        if device not in known:
            raise InputError(f"--price {text}", f"no profile is of {device!r}", suggestion(device, known, "devices"))


def _limit(within_ms: float | None) -> float:
    if within_ms is not None and not within_ms > 0:
        raise InputError("--within-ms", f"{within_ms:g} is no time", "give milliseconds above 0")
    return math.inf if within_ms is None else within_ms


def _all(folder: Path | None) -> list[ModelProfile]:
    from workloads.catalogue import shipped_profiles
    from workloads.profile import load_profile

    if folder is None:
        return [load_profile(name) for name in shipped_profiles()]
    if not folder.is_dir():
        raise InputError(f"--folder {folder}", "is no folder", "give one that holds profiles")
    return [load_profile(path) for path in sorted(folder.glob("*.json"))]


def _check_filters(every: list[ModelProfile], model: str | None, device: str | None, precision: str | None) -> None:
    """Refuse a filter that no profile passes, whatever the others are."""
    from optimizer.options import suggestion

    for option, value, known, passes in (
        ("--model", model, {profile.model for profile in every}, _filtered(every, model, None, None)),
        ("--device", device, {profile.device for profile in every}, _filtered(every, None, device, None)),
        ("--precision", precision, {profile.precision for profile in every}, _filtered(every, None, None, precision)),
    ):
        if value is not None and not passes:
            fix = suggestion(value, known, f"{option.lstrip('-')}s")
            raise InputError(f"{option} {value}", "no profile here is of it", fix)


def _filtered(
    every: list[ModelProfile], model: str | None, device: str | None, precision: str | None
) -> list[ModelProfile]:
    return [
        profile
        for profile in every
        if model in (None, profile.model)
        and (device is None or device == profile.device_kind or device in profile.device)
        and precision in (None, profile.precision)
    ]
