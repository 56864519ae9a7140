"""What policies may know of a scenario before the run: facts of the fleet, and the trace's rates by interval."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from simulator.cluster import RESOURCES, Cluster, resource_index
from simulator.embedding_tiers import lookup_plan, of_scenario
from simulator.fleet_plan import Numbering, fleet_plan, number
from simulator.plan import FleetPlan
from simulator.policy import FleetFacts, PolicyContext
from simulator.scenario import Scenario, Stage
from simulator.throughput import Load, Lookups, best_throughput_rps, crowded, slo_throughput_rps
from simulator.throughput_cache import cached_throughput
from workloads.errors import InputError

__all__ = ["arrivals_per_slot", "fleet_facts", "prepare", "slot_ends_s"]

SAMPLE, SAMPLE_ROWS, SAMPLE_BLOCKS = 4096, 65_536, 50
BY_LOAD = ("least_outstanding", "weighted", "power_of_two", "locality")
"""Routers that send more to replicas that serve more."""
HIGHEST_GAP_CV = 3.0


def prepare(scenario: Scenario, seed: int, facts: FleetFacts | None = None) -> PolicyContext:
    """What policies may know before a run of this seed; ``facts`` are computed if left out."""
    counts = arrivals_per_slot(scenario, seed)
    length_s = np.diff(slot_ends_s(scenario), prepend=0.0)
    rates = frozen(counts / length_s)
    peak_rps = rates[:, length_s >= 0.5 * length_s[0]].max(axis=1)
    facts = fleet_facts(scenario) if facts is None else facts
    return PolicyContext(facts=facts, peak_rps=frozen(peak_rps), future_rps=rates)


def slot_ends_s(scenario: Scenario) -> np.ndarray:
    """``[slot]`` ends of a run's control intervals; the last is the trace's and may come early."""
    slots = max(1, math.ceil(scenario.duration_s / scenario.control_interval_s - 1e-9))
    ends_s = scenario.control_interval_s * np.arange(1, slots + 1)
    ends_s[-1] = scenario.duration_s
    return ends_s


def frozen(values: np.ndarray) -> np.ndarray:
    """The same array, read-only."""
    values.flags.writeable = False
    return values


_COUNTS: WeakKeyDictionary[Scenario, dict[int, np.ndarray]] = WeakKeyDictionary()


def arrivals_per_slot(scenario: Scenario, seed: int) -> np.ndarray:
    """``[service, slot]`` requests of a seed's trace, by one pass over it (remembered with the scenario).

    A request that arrives at the end of an interval belongs to it, as in a run.

    Raises
    ------
    InputError
        If the trace of this seed holds no request.
    """
    known = _COUNTS.setdefault(scenario, {})
    if seed not in known:
        counts = scenario.trace_for(seed).count_arrivals(slot_ends_s(scenario))
        if not counts.any():
            raise InputError(
                f"{scenario.path} trace, seed {seed}", "holds no request", "raise its rate or its duration"
            )
        known[seed] = counts
    return known[seed]


def _samples(scenario: Scenario) -> list[Load]:
    """Items, bytes and burstiness of each service's first requests in the scenario's own seed, by one pass.

    The coefficient of variation is that of `SAMPLE` successive gaps, rounded to a tenth so that a Poisson stream counts
    as one, and kept within 1 to `HIGHEST_GAP_CV`: a trace that is still more bursty changes its rate, not its spacing.
    """
    services = len(scenario.services)
    columns: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(services)]
    found = np.zeros(services, np.int64)
    for block in itertools.islice(scenario.trace_for(scenario.seed).blocks(rows=SAMPLE_ROWS), SAMPLE_BLOCKS):
        for service in np.flatnonzero(found < SAMPLE):
            mine = block.service == service
            columns[service].append((block.items[mine], block.bytes_in[mine], block.arrival_s[mine]))
            found[service] += mine.sum()
        if (found >= SAMPLE).all():
            break
    none = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0))
    return [_load(*(np.concatenate(some)[:SAMPLE] for some in zip(*(parts or [none])))) for parts in columns]


def _load(items: np.ndarray, bytes_in: np.ndarray, arrival_s: np.ndarray) -> Load:
    if len(items) == 0:
        return Load(np.zeros(1, np.int32), np.zeros(1, np.int32))
    gaps = np.diff(arrival_s)
    gap_cv = float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.any() else 1.0
    return Load(items, bytes_in, gap_cv=min(max(round(gap_cv, 1), 1.0), HIGHEST_GAP_CV))


_FACTS: WeakKeyDictionary[Scenario, FleetFacts] = WeakKeyDictionary()


def fleet_facts(scenario: Scenario) -> FleetFacts:
    """The facts of a scenario (remembered with it).

    Raises
    ------
    InputError
        If no variant of a stage meets the stage's latency budget on any node type.
    """
    if scenario not in _FACTS:
        _FACTS[scenario] = _compute(scenario)
    return _FACTS[scenario]


def _compute(scenario: Scenario) -> FleetFacts:
    numbering = number(scenario)
    plan = fleet_plan(scenario, numbering, scenario.seed)
    cluster = scenario.cluster
    shape = numbering.table_of.shape
    slo_rps, best_rps, best_at_cap_rps, routed = (np.zeros(shape) for _ in range(4))
    batch_cap = np.zeros(shape, np.int64)
    need = np.zeros((*shape, len(RESOURCES)))
    delay_s = np.zeros(shape)
    loads = _samples(scenario)
    nic = cluster.capacity[:, resource_index("network")]
    storage = cluster.capacity[:, resource_index("storage")]
    known: dict[tuple[int, float, float], tuple[float, float, float, int]] = {}
    for table, (v, n) in enumerate(numbering.runs):
        k, variant = numbering.variants[v]
        service_index, stage = numbering.stages[k]
        load = loads[service_index]
        alike = (v, cluster.node_types[n].speed_of(variant.profile.device), nic[n])
        if alike not in known:
            known[alike] = _throughput_rps(scenario, numbering, plan, table, load)
        best_rps[v, n], best_at_cap_rps[v, n], slo_rps[v, n], cap = known[alike]
        if scenario.chooses_batch_caps:
            batch_cap[v, n] = cap
        routed[v, n] = slo_rps[v, n] if stage.plan.router in BY_LOAD else 1.0
        tasks = load.tasks(stage.plan)
        payload = tasks.bytes_in + tasks.units(stage.plan, counts_items=True) * stage.plan.item_bytes
        need[v, n] = variant.need()
        rows = plan.lookups[table] if plan.lookups else None
        sharded = 0.0 if rows is None else rows.sharded_bytes_per_unit
        received_bytes = payload.mean() + sharded * tasks.units(stage.plan, variant.profile.unit == "items").mean()
        received = slo_rps[v, n] * received_bytes * load.tasks_per_request(stage.plan)
        need[v, n, resource_index("network")] = min(float(received), nic[n])
        bandwidth = min(cluster.storage_bytes_per_s, storage[n])
        image = scenario.life.image_of(v)  # as if it were the node's first
        read_bytes = variant.load_bytes + (0.0 if image is None else image.size_bytes)
        delay_s[v, n] = variant.container_start_s + read_bytes / bandwidth + variant.warm_up_s
    _refuse_hopeless(scenario, numbering, slo_rps)
    return FleetFacts(
        services=scenario.service_names,
        stages=tuple(f"{scenario.services[i].name}/{s.name}" for i, s in numbering.stages),
        variants=tuple(
            f"{scenario.services[numbering.stages[k][0]].name}/{numbering.stages[k][1].name}/{v.name}"
            for k, v in numbering.variants
        ),
        node_types=tuple(n.name for n in cluster.node_types),
        stage_service=frozen(np.array([i for i, _ in numbering.stages], np.int64)),
        variant_stage=frozen(np.array([k for k, _ in numbering.variants], np.int64)),
        throughput_rps=frozen(slo_rps),
        best_throughput_rps=frozen(best_rps),
        need=frozen(need),
        capacity=frozen(cluster.capacity),
        node_count=frozen(cluster.count),
        price_usd_per_hour=frozen(cluster.price_usd_per_hour),
        start_delay_s=frozen(delay_s),
        boot_s=frozen(np.array([n.boot_s for n in cluster.node_types])),
        slo_s=frozen(np.array([s.slo_s for s in scenario.services])),
        slo_quantile=frozen(np.array([s.slo_quantile for s in scenario.services])),
        control_interval_s=scenario.control_interval_s,
        duration_s=scenario.duration_s,
        headroom=scenario.headroom,
        unserved_usd_per_request=scenario.unserved_usd_per_request,
        tasks_per_request=frozen(np.array([loads[i].tasks_per_request(stage.plan) for i, stage in numbering.stages])),
        planned_share=frozen(np.array([1.0 - s.planned_hit_share for s in scenario.services])),
        min_replicas=frozen(_min_replicas(numbering, cluster)),
        service_weight=frozen(np.array(scenario.life.weights)),
        service_priority=frozen(np.array(scenario.life.priorities, np.int64)),
        batch_cap=frozen(batch_cap),
        best_at_cap_rps=frozen(best_at_cap_rps),
        headroom_after_loss=scenario.headroom_after_loss,
        budget_usd_per_hour=scenario.budget_usd_per_hour,
        **_accuracy_facts(numbering, frozen(routed)),
    )


def _min_replicas(numbering: Numbering, cluster: Cluster) -> np.ndarray:
    """``[variant, node_type]`` replicas that always stand."""
    names = [n.name for n in cluster.node_types]
    least = np.zeros(numbering.table_of.shape, np.int64)
    for v, (_, variant) in enumerate(numbering.variants):
        for name, replicas in variant.min_replicas:
            least[v, names.index(name)] = replicas
    return least


def _throughput_rps(
    scenario: Scenario, numbering: Numbering, plan: FleetPlan, table: int, load: Load
) -> tuple[float, float, float, int]:
    """Of one replica of a latency table's variant on its node type: best throughput, that within the batch cap,
    SLO-feasible throughput, and the cap: what the variant states, or one chosen among that and the powers of two below.
    """
    v, n = numbering.runs[table]
    k, variant = numbering.variants[v]
    service_index, stage = numbering.stages[k]
    service, cluster = scenario.services[service_index], scenario.cluster
    nic_bytes_per_s = float(cluster.capacity[n, resource_index("network")])
    lookups = Lookups(plan.tiers)
    if variant.embedding is not None:
        oldest_s = variant.embedding.oldest_s(scenario.duration_s)
        lookups = Lookups(plan.tiers, lookup_plan(*of_scenario(variant.embedding, plan.tiers), oldest_s))
    rule, budget_s = plan.rules[v], service.slo_s * stage.slo_share
    crowd = crowded(plan.tables[table], variant.most_on_gpu)

    def at_cap(max_batch: int) -> tuple[float, float]:
        capped = replace(rule, max_batch=max_batch)
        best = best_throughput_rps(plan.stages[k], capped, plan.tables[table], load, nic_bytes_per_s, lookups)
        slo = slo_throughput_rps(
            plan.stages[k],
            capped,
            crowd,
            load,
            nic_bytes_per_s=nic_bytes_per_s,
            hop_delay_s=cluster.hop_delay_s,
            budget_s=budget_s,
            budget_quantile=service.slo_quantile,
            best_rps=best,
            lookups=lookups,
        )
        return best, slo

    follows_from = (plan.stages[k], plan.tables[table], variant.most_on_gpu, load, nic_bytes_per_s,
                    cluster.hop_delay_s, budget_s, service.slo_quantile, lookups)  # fmt: skip
    found = {}
    for max_batch in _caps(rule.max_batch) if scenario.chooses_batch_caps else (rule.max_batch,):
        parts = ("throughput", replace(rule, stage=0, max_batch=max_batch), *follows_from)
        found[max_batch] = cached_throughput(parts, partial(at_cap, max_batch))
    # Of caps that serve alike the largest; the best throughput is that of the stated cap, which bounds all others.
    chosen = max(found, key=lambda cap: (found[cap][1], cap))
    return found[rule.max_batch][0], found[chosen][0], found[chosen][1], chosen


def _caps(stated: int) -> list[int]:
    """The stated cap, and the powers of two below it."""
    return sorted({stated, *(2**k for k in range(stated.bit_length()) if 2**k < stated)})


def _accuracy_facts(numbering: Numbering, routed_share: np.ndarray) -> dict[str, Any]:
    """What stages ask of accuracy and what their variants have; nothing where no stage names a metric."""
    asked = [stage.accuracy for _, stage in numbering.stages]
    if not any(asked):
        return {}
    lost_usd = [_lost_usd(numbering.stages[k][1], variant.accuracy) for k, variant in numbering.variants]
    return {
        "accuracy": frozen(np.array([variant.accuracy for _, variant in numbering.variants])),
        "accuracy_metric": tuple(a.metric if a else "" for a in asked),
        "accuracy_floor": frozen(np.array([a.floor if a else -np.inf for a in asked])),
        "lost_usd_per_request": frozen(np.array(lost_usd)),
        "routed_share": routed_share,
    }


def _lost_usd(stage: Stage, accuracy: float) -> float:
    if stage.accuracy is None:
        return 0.0
    return stage.accuracy.lost_usd * (max(v.accuracy for v in stage.variants) - accuracy)


def _refuse_hopeless(scenario: Scenario, numbering: Numbering, slo_rps: np.ndarray) -> None:
    """Every stage needs a variant that can meet its budget somewhere."""
    for k, (i, stage) in enumerate(numbering.stages):
        floor = stage.accuracy.floor if stage.accuracy else -math.inf
        mine = [v for v, (of, variant) in enumerate(numbering.variants) if of == k and not variant.accuracy < floor]
        if (slo_rps[mine] > 0).any():
            continue
        service = scenario.services[i]
        budget_ms = service.slo_s * stage.slo_share * 1e3
        accurate = f" with {stage.accuracy.metric} from {floor:g}" if stage.accuracy and floor > -math.inf else ""
        raise InputError(
            f"{scenario.path} services[{i}] {service.name}/{stage.name}",
            f"no variant{accurate} meets its latency budget of {budget_ms:g} ms at quantile {service.slo_quantile:g} "
            "on any node type, even at 5 % load",
            "raise slo_ms or slo_share, ask for fewer candidates, or give a faster variant or node type"
            + (", or lower the floor" if accurate else ""),
        )
