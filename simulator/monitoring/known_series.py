"""Which series a run of a scenario will have, known before it begins: alerts may name no others."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulator.cluster import RESOURCES
from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.scenario import Scenario
    from simulator.scenario_reading import Reading

__all__ = ["known_series", "refuse_unknown_alerts"]


def known_series(scenario: Scenario) -> dict[str, tuple[str, ...]]:
    """Labels of each series, by its name: those of `simulator.monitoring.series` and of the monitor."""
    from simulator.fleet_plan import fleet_plan, number
    from simulator.journey_arrays import path_of

    numbering = number(scenario)
    plan = fleet_plan(scenario, numbering, scenario.seed)
    services = scenario.service_names
    stages = tuple(f"{services[i]}/{stage.name}" for i, stage in numbering.stages)
    variants = (f"{stages[k]}/{variant.name}" for k, variant in numbering.variants)
    nodes = tuple(n.name for n in scenario.cluster.node_types)
    pairs = tuple(f"{variant} on {node}" for variant in variants for node in nodes)
    of_services = ("arrived_rps", "completed_rps", "rejected_rps", "failed_rps", "p50_ms", "p95_ms", "p99_ms",
                   "slo_attainment", "in_flight_requests")  # fmt: skip
    known = dict.fromkeys(of_services, services)
    known |= dict.fromkeys(("utilisation", "allocation"), RESOURCES)
    known |= dict.fromkeys(("ready_replicas", "starting_replicas", "draining_replicas", "replicas_lost"), pairs)
    known |= dict.fromkeys(("open_nodes", "usable_nodes"), nodes)
    known |= dict.fromkeys(("cost_usd_per_hour", "training_gpu_s"), ("fleet",))
    known["queue_requests"] = stages
    if plan.tiers:
        known |= dict.fromkeys(("tier_load", "tier_bytes_per_s"), tuple(tier.name for tier in plan.tiers))
    return known if path_of(plan) == "plain" else known | _beyond_the_plain_path(scenario, stages)


def _beyond_the_plain_path(scenario: Scenario, stages: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    of_tasks = ("lost_rps", "retried_rps", "hedged_rps", "hedges_won_rps", "expired_rps")
    of_caches = ("hits", "misses", "expired", "coalesced", "refreshed", "prefetched")
    found = {
        stages: of_tasks,
        _caches(scenario): tuple(f"cache_{name}_rps" for name in of_caches),
        _links(scenario): ("link_load", "link_bytes_per_s", "link_lost_rps"),
    }
    return {name: labels for labels, names in found.items() if labels for name in names}


def _caches(scenario: Scenario) -> tuple[str, ...]:
    sites = scenario.cluster.network.names
    return tuple(
        f"{service.name}, {name}" + place
        for service in scenario.services
        for level, name in zip(service.plan.cache.levels if service.plan.cache else (), service.level_names)
        for place in ([""] if level.is_shared or len(sites) == 1 else [f" at {site}" for site in sites])
    )


def _links(scenario: Scenario) -> tuple[str, ...]:
    network = scenario.cluster.network
    return (
        *(f"users -> {name}" for name, site in zip(network.names, network.sites) if site.access_in is not None),
        *(f"{network.names[a]} -> {network.names[b]}" for a, b in sorted(network.links)),
        *(f"{name} -> users" for name, site in zip(network.names, network.sites) if site.access_out is not None),
    )


def refuse_unknown_alerts(reading: Reading, scenario: Scenario) -> None:
    """An `InputError` where an alert watches a series or a label that the scenario's runs do not have."""
    alerts = scenario.file.monitoring.alerts
    if not alerts:
        return
    reading.refuse_twins(("monitoring", "alerts"), [alert.name for alert in alerts])
    known = known_series(scenario)
    for i, alert in enumerate(alerts):
        where = reading.where("monitoring", "alerts", i)
        if alert.series not in known:
            raise InputError(where, f"alert '{alert.name}' watches '{alert.series}', which runs of this scenario "
                             "do not have", _nearest(alert.series, tuple(known)))  # fmt: skip
        labels = known[alert.series]
        if alert.label and alert.label not in labels:
            raise InputError(where, f"alert '{alert.name}': series {alert.series} has no label '{alert.label}'",
                             _nearest(alert.label, labels))  # fmt: skip


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(names)}"
