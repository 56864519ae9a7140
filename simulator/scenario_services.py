"""The services of a scenario: stages with their latency budgets, variants with their profiles."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from simulator.accuracy import with_accuracy
from simulator.cluster import GIB, RESOURCE_UNITS, Cluster, NodeType, resource_index
from simulator.packing_orders import pack
from simulator.placement import Placement
from simulator.plan import ServicePlan, StagePlan
from simulator.routers import load_function
from simulator.scenario_cache import level_names, resolve_cache
from simulator.scenario_embedding import refuse_rows_without_place
from simulator.scenario_funnel import ServiceFile, StageFile, VariantFile
from simulator.scenario_reading import Place, Reading
from simulator.service import Service, Stage, Variant, measured_warm_up_s
from workloads.errors import InputError
from workloads.profile import load_profile

__all__ = ["resolve_services"]


def resolve_services(reading: Reading, files: list[ServiceFile], cluster: Cluster) -> tuple[Service, ...]:
    """The services, with profiles loaded, each variant fit for some node type of the cluster."""
    reading.refuse_twins(("services",), [s.name for s in files])
    services = tuple(_service(reading, i, service, cluster) for i, service in enumerate(files))
    _refuse_crowded_nodes(reading, services, cluster)
    return services


def _service(reading: Reading, index: int, file: ServiceFile, cluster: Cluster) -> Service:
    here: Place = ("services", index)
    place = (*here, "stages")
    reading.refuse_twins(place, [stage.name for stage in file.stages])
    shares = _slo_shares(reading.where(*place), file)
    cache = file.cache
    plan = ServicePlan(
        slo_s=file.slo_ms / 1e3,
        bytes_out=file.bytes_out,
        home_shares=_home_shares(reading, (*here, "homes"), file, cluster),
        class_shares=_whole(reading.where(*here, "priorities"), "priorities", file.priorities) or (1.0,),
        cache=None if cache is None else resolve_cache(reading, (*here, "cache"), cache, file.bytes_out),
    )
    stages = tuple(
        _stage(reading, (*place, i), stage, _stage_plan(index, file, stage, share), share, cluster)
        for i, (stage, share) in enumerate(zip(file.stages, shares))
    )
    preload = cache.preload if cache is not None else None
    return Service(
        name=file.name,
        plan=plan,
        slo_quantile=file.slo_quantile,
        stages=stages,
        class_names=tuple(file.priorities) or ("all",),
        level_names=() if cache is None else tuple(level_names(cache)),
        preload_keys=0 if preload is None else preload.hottest,
        preload_seen_s=0.0 if preload is None else preload.seen_s,
        planned_hit_share=0.0 if cache is None else cache.planned_hit_share,
        home_shares=dict(file.homes),
        weight=file.weight,
    )


def _home_shares(reading: Reading, place: Place, file: ServiceFile, cluster: Cluster) -> tuple[float, ...]:
    """Share of the service's users at each site; empty where there is one site."""
    sites = cluster.network.names
    for name in file.homes:
        if name not in sites or len(sites) == 1:
            known = f"use one of {', '.join(sites)}" if len(sites) > 1 else "add cluster.sites, or leave homes out"
            raise InputError(reading.where(*place, name), f"there is no site '{name}'", known)
    if len(sites) == 1:
        return ()
    if not file.homes:
        raise InputError(
            reading.where(*place), f"service '{file.name}' does not say where its users are",
            f"add homes: with a share for some of the sites {', '.join(sites)}",
        )  # fmt: skip
    _whole(reading.where(*place), "homes", file.homes)
    return tuple(file.homes.get(site, 0.0) for site in sites)


def _whole(where: str, name: str, shares: dict[str, float]) -> tuple[float, ...]:
    """The shares, which must sum to 1 where there are any."""
    total = sum(shares.values())
    if shares and abs(total - 1.0) > 1e-6:
        raise InputError(where, f"the shares of {name} sum to {total:g}", "let them sum to 1")
    return tuple(shares.values())


def _slo_shares(where: str, file: ServiceFile) -> list[float]:
    """Share of the service's objective of each stage; those without one have equal parts of what is left."""
    shares = [stage.slo_share for stage in file.stages]
    given = sum(share for share in shares if share is not None)
    rest = shares.count(None)
    if given > 1.0 + 1e-9 or (rest and given >= 1.0):
        raise InputError(where, f"slo_share of the stages sums to {given:g}"
                         + (" and some stages have none" if rest else ""), "let them sum to at most 1")  # fmt: skip
    return [share if share is not None else (1.0 - given) / rest for share in shares]


def _stage_plan(service: int, file: ServiceFile, stage: StageFile, slo_share: float) -> StagePlan:
    """What the data plane knows of a stage, in its units."""
    plan = StagePlan(
        service=service,
        candidates=stage.candidates,
        item_bytes=stage.item_bytes,
        router=stage.router,
        max_outstanding=stage.max_outstanding,
        split_items=stage.split_items,
        expire_s=math.inf if file.deadline_ms is None else stage.deadline_share * file.deadline_ms / 1e3,
        budget_s=slo_share * file.slo_ms / 1e3,
        retries=stage.retries,
        retry_delay_s=stage.retry_delay_ms / 1e3,
        hedge_after_s=0.0 if stage.hedge_after_ms is None else stage.hedge_after_ms / 1e3,
        spill_outstanding=stage.spill_outstanding or 0,
    )
    return plan if stage.hash_bound is None else replace(plan, hash_bound=stage.hash_bound)


def _stage(
    reading: Reading, place: Place, file: StageFile, plan: StagePlan, slo_share: float, cluster: Cluster
) -> Stage:
    variants = [_variant(reading, (*place, "variants", j), v, cluster) for j, v in enumerate(file.variants)]
    reading.refuse_twins((*place, "variants"), [v.name for v in variants])
    _refuse_sites(reading, place, file, cluster)
    if file.function is not None:
        plan = replace(plan, function=_router_function(reading, (*place, "function"), file.function))
    stage = Stage(file.name, plan, slo_share, tuple(variants))
    return stage if file.accuracy is None else with_accuracy(reading, place, stage, file.accuracy)


def _refuse_sites(reading: Reading, place: Place, file: StageFile, cluster: Cluster) -> None:
    """A router that needs several sites, or cannot do with more than one."""
    several = len(cluster.network.names) > 1
    if file.router == "locality" and not several:
        raise InputError(reading.where(*place, "router"), "router locality, but there is one site only",
                         "add cluster.sites, or use least_outstanding")  # fmt: skip
    if file.router == "function" and several:
        raise InputError(reading.where(*place, "router"), "a router function knows no sites, and there are several",
                         "use another router, or one site")  # fmt: skip


def _router_function(reading: Reading, place: Place, name: str) -> str:
    """A router function's name as the data plane takes it: that of a file with its path in full."""
    path, colon, function = name.rpartition(":")
    try:
        load_function(name, reading.base)
    except InputError as error:
        raise InputError(reading.where(*place), f"{error.where}: {error.problem}", error.fix) from None
    if not colon:
        return name
    file = (reading.base / Path(path).expanduser()).resolve()
    reading.note_input(path, file)
    return f"{file}:{function}"


def _variant(reading: Reading, place: Place, file: VariantFile, cluster: Cluster) -> Variant:
    where = reading.where(*place, "profile")
    name = file.profile
    is_path = name.endswith(".json")
    path = reading.base / name
    try:
        profile = load_profile(path if is_path else name)
    except InputError as error:
        raise InputError(where, f"{error.where}: {error.problem}", error.fix) from None
    if is_path:
        reading.note_input(name, path)
    largest = int(profile.batch_sizes[-1])
    if file.max_batch > largest:
        raise InputError(reading.where(*place, "max_batch"),
                         f"{file.max_batch} {profile.unit} is more than the largest measured batch, {largest}",
                         f"give at most {largest}, or profile larger batches")  # fmt: skip
    variant = Variant(
        name=file.name or profile.name,
        profile=profile,
        max_batch=file.max_batch,
        max_wait_s=file.max_wait_ms / 1e3,
        queue_limit=file.queue_limit,
        container_start_s=file.container_start_s,
        warm_up_s=file.warm_up_s + (measured_warm_up_s(profile) if file.measured_start else 0.0),
        cpu_cores=file.cpu_cores if file.cpu_cores is not None else float(profile.host_cores),
        gpu_share=file.gpu_share,
        embedding=file.embedding,
        min_replicas=tuple(file.min_replicas.items()),
        storage_bytes_per_s=file.storage_gbyte_per_s * 1e9,
    )
    _refuse_shared_gpu(reading.where(*place, "gpu_share"), variant)
    if file.embedding is not None:
        refuse_rows_without_place(reading, (*place, "embedding"), file.embedding, variant.on_gpu, cluster.tiers)
    _refuse_unplaceable(where, variant, cluster)
    _refuse_standing_nowhere(reading, (*place, "min_replicas"), variant, cluster)
    return variant


def _refuse_shared_gpu(where: str, variant: Variant) -> None:
    """Replicas share a GPU only where it was measured what that does to them."""
    profile = variant.profile
    if variant.gpu_share == 1.0:
        return
    if not variant.on_gpu:
        raise InputError(where, f"profile '{profile.name}' is of a CPU", "leave gpu_share out")
    if not (profile.document or {}).get("interference"):
        raise InputError(
            where,
            f"gpu_share {variant.gpu_share:g}, but profile '{profile.name}' does not say what replicas that share "
            "a GPU do to one another",
            "profile it with --replicas 2,3, or leave gpu_share out",
        )


def _refuse_crowded_memory(where: str, variant: Variant, nodes: list[NodeType]) -> None:
    """As many replicas as share a GPU must have room in its memory: plans count on that many."""
    if variant.gpu_share == 1.0:
        return
    needed = float(variant.need()[resource_index("gpu_memory")])
    for node in nodes:
        there = float(node.capacity[resource_index("gpu_memory")] / node.capacity[resource_index("gpu")])
        most = int(there / needed + 1e-9)
        if most < variant.most_on_gpu:
            raise InputError(
                where,
                f"{variant.most_on_gpu} replicas of variant '{variant.name}' may share a GPU, but each needs "
                f"{needed / GIB:.4g} GiB of the {there / GIB:.4g} of one of node type '{node.name}'",
                f"give it a gpu_share of at least {1.0 / max(most, 1):.4g}",
            )


def _refuse_standing_nowhere(reading: Reading, place: Place, variant: Variant, cluster: Cluster) -> None:
    """Replicas that always stand do so on node types that can run them."""
    nodes = {n.name: n for n in cluster.node_types}
    for name, _ in variant.min_replicas:
        where = reading.where(*place, name)
        if name not in nodes:
            raise InputError(where, f"there is no node type '{name}'", f"use one of {', '.join(nodes)}")
        node = nodes[name]
        if node.speed_of(variant.profile.device) <= 0 or variant.shortage_on(node) is not None:
            raise InputError(where, f"variant '{variant.name}' cannot run on node type '{name}'", "name another")


def _refuse_crowded_nodes(reading: Reading, services: tuple[Service, ...], cluster: Cluster) -> None:
    """All replicas that always stand must find room together; who is named last is told."""
    names = [n.name for n in cluster.node_types]
    places = [
        ("services", i, "stages", k, "variants", j)
        for i, service in enumerate(services)
        for k, stage in enumerate(service.stages)
        for j in range(len(stage.variants))
    ]
    variants = [variant for service in services for stage in service.stages for variant in stage.variants]
    need = np.array([variant.need() for variant in variants])
    standing = np.zeros((len(variants), len(names)), np.int64)

    def fit(n: int, v: int, replicas: int) -> bool:
        standing[v, n] = replicas
        gpu, memory = resource_index("gpu"), resource_index("gpu_memory")
        return pack(Placement(cluster.capacity, cluster.count, gpu, memory), n, need, standing[:, n]) is not None

    for v, (place, variant) in enumerate(zip(places, variants)):
        for name, replicas in variant.min_replicas:
            n = names.index(name)
            if fit(n, v, replicas):
                continue
            most, too_many = 0, replicas
            while too_many - most > 1:
                middle = (most + too_many) // 2
                most, too_many = (middle, too_many) if fit(n, v, middle) else (most, middle)
            raise InputError(
                reading.where(*place, "min_replicas", name),
                f"{replicas} replicas, but beside those named before the nodes hold {most}",
                f"give at most {most}" if most else "leave it out, or name fewer before",
            )


def _refuse_unplaceable(where: str, variant: Variant, cluster: Cluster) -> None:
    """A variant must fit at least one node type that has its device."""
    device = variant.profile.device
    with_device = [n for n in cluster.node_types if n.speed_of(device) > 0]
    if not with_device:
        offered = sorted({d.device for n in cluster.node_types for d in n.devices})
        raise InputError(where, f"no node type has the device '{device}' of profile '{variant.profile.name}'",
                         f"add it to a node type's devices (they offer: {', '.join(offered)})")  # fmt: skip
    shortages = [variant.shortage_on(n) for n in with_device]
    if None in shortages:
        fit = [n for n, shortage in zip(with_device, shortages) if shortage is None]
        _refuse_crowded_memory(where, variant, fit)
        return
    node, shortage = with_device[0], shortages[0]
    assert shortage is not None
    resource, needed, there = shortage
    unit, scale = ("GiB", GIB) if "memory" in resource else (RESOURCE_UNITS[resource], 1.0)
    raise InputError(
        where,
        f"variant '{variant.name}' fits no node: a replica needs {needed / scale:.4g} {unit} of {resource}, "
        f"node type '{node.name}' offers it {there / scale:.4g}",
        "give the node type more, or choose a smaller variant",
    )
