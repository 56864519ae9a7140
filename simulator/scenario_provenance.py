"""What of a scenario is real and what is assumed, in the sentences that every report prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.life.provenance import life_assumptions
from simulator.scenario_path_provenance import path_assumptions

if TYPE_CHECKING:
    from simulator.scenario import Scenario
    from workloads.trace import Trace

__all__ = ["assumptions_of", "sources_of"]

ASSUMED = "assumed:"
"""How a note of a trace begins that tells an assumption."""


def assumptions_of(scenario: Scenario, trace: Trace) -> tuple[str, ...]:
    """Whatever is assumed rather than measured or logged, one sentence each."""
    lines = list(scenario.file.assumptions)
    if trace.info.synthetic:
        lines.append(f"The arrivals are synthetic: {trace.info.name}.")
    lines += [f"Trace: {note.removeprefix(ASSUMED).strip()}" for note in trace.info.notes if note.startswith(ASSUMED)]
    for node in scenario.cluster.node_types:
        price = f"Node type {node.name}, {node.count} at {node.price_usd_per_hour:g} USD/h"
        lines.append(f"{price}: {node.source}." if node.source else f"{price}, as the scenario file says.")
        for device in node.devices:
            if device.speed != 1.0:
                lines.append(
                    f"Node type {node.name} is taken to run {device.device} profiles at {device.speed:g} of the "
                    f"measured speed: {device.assumption}."
                )
    for profile in scenario.profiles:
        if profile.provenance != "measured":
            lines.append(f"Profile {profile.name} is {profile.provenance}, not measured.")
    lines += path_assumptions(scenario)
    lines += life_assumptions(scenario.life)
    lines += _remarks(scenario)
    lines.append("Prices, boot times, container start times and bandwidths are inputs of the scenario file.")
    lines.append(
        "The fleet starts warm: the first decision sees the first interval's arrival rate, "
        "and its replicas are ready at once."
    )
    lines.append(_sharing(scenario))
    if not scenario.service_noise:
        lines.append("Service times are the measured means, without noise.")
    return tuple(lines)


def _sharing(scenario: Scenario) -> str:
    """What replicas on one node do to one another."""
    variants = [v for service in scenario.services for stage in service.stages for v in stage.variants]
    shared = any(v.gpu_share < 1.0 for v in variants)
    ways = ["the network card", *(["a shared GPU"] if shared else []), *(["tiers"] if scenario.cluster.tiers else [])]
    claimed = "GPUs are claimed by share" if shared else "GPUs are claimed whole"
    return f"{claimed}; replicas on one node do not slow each other but for {' and '.join(ways)}."


def _remarks(scenario: Scenario) -> list[str]:
    """What the profiles' files say of their own measurements, each remark once with the profiles that share it."""
    profiles_of: dict[str, list[str]] = {}
    for profile in scenario.profiles:
        for note in profile.notes:
            profiles_of.setdefault(note, []).append(profile.name)
    return [
        f"{'Profile' if len(names) == 1 else 'Profiles'} {', '.join(names)}: {note}"
        for note, names in profiles_of.items()
    ]


def sources_of(scenario: Scenario, trace: Trace) -> tuple[str, ...]:
    """What is real, and where it comes from."""
    info = trace.info
    lines = []
    if not info.synthetic:
        lines.append(f"Trace: {info.name}. Source: {info.source}. Licence: {info.licence}. Scale {info.scale:g}.")
        lines += [f"Trace: {note}" for note in info.notes if not note.startswith(ASSUMED)]
    if scenario.cluster.source:
        lines.append(f"Cluster: {scenario.cluster.source}")
    lines += [f"Node type {n.name}: {n.inventory}." for n in scenario.cluster.node_types if n.inventory]
    for p in scenario.profiles:
        lines.append(f"Profile {p.name}: {p.provenance} on {p.device_name or p.device}, {p.date}.")
    return tuple(lines)
