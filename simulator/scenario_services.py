"""The services of a scenario: stages with their latency budgets, variants with their profiles."""

from __future__ import annotations

from simulator.accuracy import with_accuracy
from simulator.cluster import GIB, RESOURCE_UNITS, Cluster
from simulator.scenario_file import ServiceFile, StageFile, VariantFile
from simulator.scenario_reading import Place, Reading
from simulator.service import Service, Stage, Variant
from workloads.errors import InputError
from workloads.profile import load_profile

__all__ = ["resolve_services"]


def resolve_services(reading: Reading, files: list[ServiceFile], cluster: Cluster) -> tuple[Service, ...]:
    """The services, with profiles loaded, each variant fit for some node type of the cluster."""
    reading.refuse_twins(("services",), [s.name for s in files])
    return tuple(_service(reading, ("services", i), service, cluster) for i, service in enumerate(files))


def _service(reading: Reading, place: Place, file: ServiceFile, cluster: Cluster) -> Service:
    place = (*place, "stages")
    reading.refuse_twins(place, [stage.name for stage in file.stages])
    shares = _slo_shares(reading.where(*place), file)
    stages = tuple(
        _stage(reading, (*place, i), stage, share, cluster) for i, (stage, share) in enumerate(zip(file.stages, shares))
    )
    return Service(file.name, file.slo_ms / 1e3, file.slo_quantile, stages)


def _slo_shares(where: str, file: ServiceFile) -> list[float]:
    """Share of the service's objective of each stage; those without one have equal parts of what is left."""
    shares = [stage.slo_share for stage in file.stages]
    given = sum(share for share in shares if share is not None)
    rest = shares.count(None)
    if given > 1.0 + 1e-9 or (rest and given >= 1.0):
        raise InputError(where, f"slo_share of the stages sums to {given:g}"
                         + (" and some stages have none" if rest else ""), "let them sum to at most 1")  # fmt: skip
    return [share if share is not None else (1.0 - given) / rest for share in shares]


def _stage(reading: Reading, place: Place, file: StageFile, slo_share: float, cluster: Cluster) -> Stage:
    stage_place, place = place, (*place, "variants")
    variants = [_variant(reading, (*place, j), variant, cluster) for j, variant in enumerate(file.variants)]
    reading.refuse_twins(place, [v.name for v in variants])
    stage = Stage(
        file.name,
        file.candidates,
        file.item_bytes,
        file.router,
        file.max_outstanding,
        slo_share,
        tuple(variants),
    )
    return stage if file.accuracy is None else with_accuracy(reading, stage_place, stage, file.accuracy)


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
        warm_up_s=file.warm_up_s,
        cpu_cores=file.cpu_cores if file.cpu_cores is not None else float(profile.host_cores),
    )
    _refuse_unplaceable(where, variant, cluster)
    return variant


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
