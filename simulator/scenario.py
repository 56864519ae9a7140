"""A scenario, resolved: profiles loaded, node types filled in, the trace ready to be drawn for a seed."""

from __future__ import annotations

import csv
import difflib
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from simulator.cluster import RESOURCE_UNITS, RESOURCES, Cluster, DeviceOnNode, NodeType, resource_index
from simulator.scenario_file import (
    ClusterFile,
    InventoryFile,
    NodeTypeFile,
    ScenarioFile,
    ServiceFile,
    VariantFile,
)
from simulator.strict_yaml import Document, read_yaml
from workloads.data_folder import DATA_PREFIX, resolve_path
from workloads.errors import InputError
from workloads.profile import ModelProfile, load_profile

if TYPE_CHECKING:
    from workloads.trace import Trace

__all__ = ["Scenario", "Service", "Stage", "Variant", "load_scenario"]

GIB = 2.0**30
MAX_STAGES = 64
"""Of all services together: the numbering of service noise has room for so many."""
MAX_INTERVALS = 1_000_000


@dataclass(frozen=True)
class Variant:
    """One way to serve a stage; batch sizes in the profile's unit."""

    name: str
    profile: ModelProfile
    max_batch: int
    max_wait_s: float
    queue_limit: int
    container_start_s: float
    warm_up_s: float
    cpu_cores: float

    def need(self) -> np.ndarray:
        """``need[resource]`` of one replica, without its share of the network."""
        profile = self.profile
        gpus = 1.0 if profile.device_kind == "cuda" else 0.0
        values = {
            "gpu": gpus,
            "gpu_memory": float(profile.device_memory_bytes),
            "cpu": self.cpu_cores,
            "memory": float(profile.host_memory_bytes),
        }
        return np.array([values.get(resource, 0.0) for resource in RESOURCES])

    def shortage_on(self, node: NodeType) -> tuple[str, float, float] | None:
        """The first resource that an empty node lacks for one replica: name, needed, there; None where it fits.

        A replica's GPU memory must be on the GPUs that it claims, not spread over the node's.
        """
        there = node.capacity.copy()
        gpus = there[resource_index("gpu")]
        need = self.need()
        if gpus > 0:
            there[resource_index("gpu_memory")] *= need[resource_index("gpu")] / gpus
        for resource, wanted, capacity in zip(RESOURCES, need.tolist(), there.tolist()):
            if wanted > capacity:
                return resource, wanted, capacity
        return None


@dataclass(frozen=True)
class Stage:
    """A stage of a funnel; ``slo_share`` of the service's objective is its latency budget."""

    name: str
    candidates: int
    item_bytes: float
    router: str
    max_outstanding: int
    slo_share: float
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Service:
    """A service: at quantile ``slo_quantile`` its latency should be at most ``slo_s``."""

    name: str
    slo_s: float
    slo_quantile: float
    stages: tuple[Stage, ...]


@dataclass(frozen=True, eq=False)
class Scenario:
    """Everything a run needs but the policy and the seed.

    Attributes
    ----------
    assumptions
        Whatever is assumed rather than measured or logged, one sentence each.
    sources
        What is real, and where it comes from.
    inputs
        SHA-256 of every file read, by path as given.
    """

    name: str
    description: str
    path: Path
    seed: int
    control_interval_s: float
    service_noise: bool
    cluster: Cluster
    services: tuple[Service, ...]
    policies: tuple[str | dict[str, Any], ...]
    headroom: float
    unserved_usd_per_request: float
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]
    inputs: dict[str, str]
    file: ScenarioFile = field(repr=False)

    @property
    def file_sha256(self) -> str:
        """Hash of the scenario file itself."""
        return self.inputs[str(self.path)]

    @property
    def service_names(self) -> tuple[str, ...]:
        """Names of the services, in order."""
        return tuple(service.name for service in self.services)

    @property
    def profiles(self) -> tuple[ModelProfile, ...]:
        """All profiles in use, in order, each once."""
        found = {v.profile.name: v.profile for s in self.services for stage in s.stages for v in stage.variants}
        return tuple(found.values())

    def trace_for(self, seed: int) -> Trace:
        """The requests of a seed; the same seed gives the same requests to every policy."""
        return self.file.trace.build(seed, self.service_names, self.path.parent)

    @cached_property
    def duration_s(self) -> float:
        """Length of the trace in seconds."""
        return float(self.trace_for(self.seed).info.duration_s)


def load_scenario(path: str | Path) -> Scenario:
    """Read, check and resolve a scenario file.

    Raises
    ------
    InputError
        At the first thing that is wrong, with file, line, field, value and fix.
    """
    path = Path(path)
    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise InputError(str(path), "is empty or not a mapping", "start from scenarios/demo.yaml")
    try:
        file = ScenarioFile.model_validate(document.value)
    except ValidationError as error:
        raise _explain(document, error) from None
    inputs = {str(path): _sha256(path)}
    node_types = tuple(
        _node_type(document, ("cluster", "node_types", i), node, path.parent, inputs)
        for i, node in enumerate(file.cluster.node_types)
    )
    _refuse_twins(document, ("cluster", "node_types"), [n.name for n in node_types])
    _refuse_many_stages(document, file)
    _refuse_twins(document, ("services",), [s.name for s in file.services])
    cluster = _cluster(file.cluster, node_types)
    services = tuple(
        _service(document, ("services", i), service, path.parent, inputs, cluster)
        for i, service in enumerate(file.services)
    )
    scenario = Scenario(
        name=file.name,
        description=file.description,
        path=path,
        seed=file.seed,
        control_interval_s=file.control_interval_s,
        service_noise=file.service_noise,
        cluster=cluster,
        services=services,
        policies=tuple(file.policies),
        headroom=file.planning.headroom,
        unserved_usd_per_request=file.planning.unserved_usd_per_million / 1e6,
        assumptions=(),
        sources=(),
        inputs=inputs,
        file=file,
    )
    trace_place = ("trace", "counts", "file") if file.trace.counts else ("trace", "file")
    trace_file = file.trace.counts.file if file.trace.counts else file.trace.file
    try:
        trace = scenario.trace_for(scenario.seed)
        if trace_file is not None:
            inputs[trace_file] = _sha256(resolve_path(trace_file, path.parent))
    except InputError as error:
        raise _placed(document, trace_place, error) from None
    shortest_s = trace.info.duration_s / MAX_INTERVALS
    if scenario.control_interval_s < shortest_s:
        raise InputError(document.where(("control_interval_s",)),
                         f"{scenario.control_interval_s:g} cuts the trace into more than {MAX_INTERVALS} intervals",
                         f"give at least {shortest_s:g}")  # fmt: skip
    object.__setattr__(scenario, "assumptions", _assumptions(file, scenario, trace))
    object.__setattr__(scenario, "sources", _sources(scenario, trace))
    return scenario


# --- what is wrong, in words --------------------------------------------------------------------------


def _explain(document: Document, error: ValidationError) -> InputError:
    """One problem that pydantic found, at its line."""
    errors = error.errors()
    # A misspelt key is both unknown and missing: the first tells more.
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    location = tuple(first["loc"])
    where = document.where(location)
    kind, value = first["type"], first.get("input")
    last = str(location[-1]) if location else ""
    if kind == "extra_forbidden":
        known = _section_fields(location[:-1])
        near = difflib.get_close_matches(last, known, 1)
        fix = f"did you mean '{near[0]}'?" if near else f"this section takes {', '.join(known)}"
        return InputError(where, f"unknown key '{last}'", fix)
    if kind == "missing":
        return InputError(where, f"'{last}' is missing", f"add {last}: to this section")
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(value, dict | list):
        return InputError(where, message, "mend this section; see `recfleet schema scenario`")
    message = message[:1].lower() + message[1:]
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    return InputError(where, f"got {shown}: {message}", "change the value")


def _section_fields(location: tuple[str | int, ...]) -> list[str]:
    """Keys of the section at a location, found by walking the scenario file's JSON Schema."""
    schema: dict[str, Any] = ScenarioFile.model_json_schema()
    node = schema
    for part in location:
        inner = node.get("properties", {}).get(part) or node.get("additionalProperties")
        node = (node.get("items") if isinstance(part, int) else inner) or node
        options = node.get("anyOf", [node])
        node = next((option for option in options if "$ref" in option or "items" in option), node)
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return sorted(node.get("properties", {}))


def _placed(document: Document, place: tuple[str | int, ...], error: InputError) -> InputError:
    """An error of the trace at its line of the scenario: at the field that it names, else at ``place``."""
    field = re.match(r"trace(\.\w+|\[\d+\])+", error.where)
    if not field:
        return InputError(document.where(place), f"{error.where}: {error.problem}", error.fix)
    parts = re.findall(r"(\w+)|\[(\d+)\]", field[0].replace("[", ".["))
    location = tuple(name if not index else int(index) for name, index in parts)
    return InputError(document.where(location) + error.where[field.end() :], error.problem, error.fix)


def _refuse_many_stages(document: Document, file: ScenarioFile) -> None:
    stages = sum(len(service.stages) for service in file.services)
    if stages > MAX_STAGES:
        raise InputError(document.where(("services",)), f"{stages} stages in all services together",
                         f"{MAX_STAGES} at most: divide the scenario")  # fmt: skip


def _refuse_twins(document: Document, location: tuple[str | int, ...], names: list[str]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise InputError(document.where((*location, i)), f"name '{name}' is used twice", "rename one of them")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- cluster ------------------------------------------------------------------------------------------


def _cluster(file: ClusterFile, node_types: tuple[NodeType, ...]) -> Cluster:
    return Cluster(node_types, file.storage_gbyte_per_s * 1e9, file.hop_delay_ms / 1e3, file.source)


def _node_type(
    document: Document,
    location: tuple[str | int, ...],
    file: NodeTypeFile,
    base: Path,
    inputs: dict[str, str],
) -> NodeType:
    where = document.where(location)
    count, gpus, cores, memory_gib = file.count, file.gpus, file.cpu_cores, file.memory_gib
    inventory = ""
    if file.inventory is not None:
        where = document.where((*location, "inventory"))
        at_hand, gpus, cores, memory_gib = _from_inventory(where, file.inventory, base, inputs)
        count = min(count or at_hand, at_hand)
        inventory = f"{at_hand} such nodes in {file.inventory.file.removeprefix(DATA_PREFIX)}"
    missing = [n for n, v in (("count", count), ("cpu_cores", cores), ("memory_gib", memory_gib)) if v is None]
    if missing:
        raise InputError(where, f"'{missing[0]}' is missing", "give it, or an inventory to take it from")
    assert count is not None
    assert cores is not None
    assert memory_gib is not None
    capacity = {
        "gpu": float(gpus or 0),
        "gpu_memory": file.gpu_memory_gib * GIB,
        "cpu": float(cores),
        "memory": memory_gib * GIB,
        "storage": file.storage_gbyte_per_s * 1e9,
        "network": file.network_gbit_per_s * 1e9 / 8,
    }
    return NodeType(
        name=file.name,
        count=count,
        capacity=np.array([capacity[r] for r in RESOURCES]),
        price_usd_per_hour=file.price_usd_per_hour,
        boot_s=file.boot_s,
        devices=tuple(DeviceOnNode(d.device, d.speed, d.assumption) for d in file.devices),
        source=file.source,
        inventory=inventory,
    )


def _from_inventory(
    where: str, inventory: InventoryFile, base: Path, inputs: dict[str, str]
) -> tuple[int, int, float, float]:
    """Count, GPUs, cores and GiB of the commonest shape that matches."""
    name = inventory.file
    try:
        path = resolve_path(name, base)
    except InputError as error:
        raise InputError(where, f"{error.where}: {error.problem}", error.fix) from None
    if not path.is_file():
        raise InputError(where, f"inventory file {name} does not exist", "give the path of a CSV of nodes")
    inputs[name] = _sha256(path)
    shapes: Counter[tuple[int, float, float]] = Counter()
    for gpu_model, shape in _read_nodes(path, name):
        _, cores, memory_gib = shape
        if (
            gpu_model == inventory.gpu_model
            and inventory.cpu_cores in (None, cores)
            and inventory.memory_gib in (None, memory_gib)
        ):
            shapes[shape] += 1
    if not shapes:
        raise InputError(where, f"no node of {name} matches the inventory's filter", "loosen the filter")
    commonest = max(sorted(shapes), key=lambda s: shapes[s])
    return shapes[commonest], *commonest


def _read_nodes(path: Path, name: str) -> Iterator[tuple[str, tuple[int, float, float]]]:
    """GPU model of each node, and its GPUs, cores and GiB."""
    fix = "columns cpu_milli, memory_mib, gpu_count, gpu_model are needed"
    line = 1
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            for row in rows:
                line = rows.line_num
                gpus, model = int(row["gpu_count"]), row["gpu_model"]
                cores, memory_gib = float(row["cpu_milli"]) / 1000, float(row["memory_mib"]) / 1024
                if not (gpus >= 0 and 0 < cores < math.inf and 0 < memory_gib < math.inf):
                    raise ValueError(f"{gpus} GPUs, {cores:g} cores, {memory_gib:g} GiB")
                yield model or "", (gpus, cores, memory_gib)
    except KeyError as error:
        raise InputError(f"{name}:{line}", f"there is no column {error}", fix) from None
    except (ValueError, TypeError, csv.Error) as error:
        raise InputError(f"{name}:{line}", f"not a node ({error})", fix) from None


# --- services -----------------------------------------------------------------------------------------


def _service(
    document: Document,
    location: tuple[str | int, ...],
    file: ServiceFile,
    base: Path,
    inputs: dict[str, str],
    cluster: Cluster,
) -> Service:
    names = [stage.name for stage in file.stages]
    _refuse_twins(document, (*location, "stages"), names)
    shares = [stage.slo_share for stage in file.stages]
    given = sum(share for share in shares if share is not None)
    rest = shares.count(None)
    if given > 1.0 + 1e-9 or (rest and given >= 1.0):
        raise InputError(document.where((*location, "stages")), f"slo_share of the stages sums to {given:g}"
                         + (" and some stages have none" if rest else ""), "let them sum to at most 1")  # fmt: skip
    stages = []
    for i, stage in enumerate(file.stages):
        variants = []
        for j, variant in enumerate(stage.variants):
            place = (*location, "stages", i, "variants", j)
            variants.append(_variant(document, place, variant, base, inputs, cluster))
        _refuse_twins(document, (*location, "stages", i, "variants"), [v.name for v in variants])
        share = stage.slo_share if stage.slo_share is not None else (1.0 - given) / rest
        stages.append(
            Stage(
                stage.name,
                stage.candidates,
                stage.item_bytes,
                stage.router,
                stage.max_outstanding,
                share,
                tuple(variants),
            )
        )
    return Service(file.name, file.slo_ms / 1e3, file.slo_quantile, tuple(stages))


def _variant(
    document: Document,
    location: tuple[str | int, ...],
    file: VariantFile,
    base: Path,
    inputs: dict[str, str],
    cluster: Cluster,
) -> Variant:
    where = document.where((*location, "profile"))
    name = file.profile
    is_path = name.endswith(".json")
    path = base / name
    try:
        profile = load_profile(path if is_path else name)
    except InputError as error:
        raise InputError(where, f"{error.where}: {error.problem}", error.fix) from None
    if is_path:
        inputs[name] = _sha256(path)
    largest = int(profile.batch_sizes[-1])
    if file.max_batch > largest:
        raise InputError(document.where((*location, "max_batch")),
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


# --- what is real, what is assumed --------------------------------------------------------------------


def _assumptions(file: ScenarioFile, scenario: Scenario, trace: Trace) -> tuple[str, ...]:
    lines = list(file.assumptions)
    if trace.info.synthetic:
        lines.append(f"The arrivals are synthetic: {trace.info.name}.")
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
    lines.append("Prices, boot times, container start times and bandwidths are inputs of the scenario file.")
    lines.append(
        "The fleet starts warm: the first decision sees the first interval's arrival rate, "
        "and its replicas are ready at once."
    )
    lines.append("GPUs are claimed whole; replicas on one node do not slow each other but for the network card.")
    if not scenario.service_noise:
        lines.append("Service times are the measured means, without noise.")
    return tuple(lines)


def _sources(scenario: Scenario, trace: Trace) -> tuple[str, ...]:
    info = trace.info
    lines = []
    if not info.synthetic:
        lines.append(f"Trace: {info.name}. Source: {info.source}. Licence: {info.licence}. Scale {info.scale:g}.")
        lines += [f"Trace: {note}" for note in info.notes]
    if scenario.cluster.source:
        lines.append(f"Cluster: {scenario.cluster.source}")
    lines += [f"Node type {n.name}: {n.inventory}." for n in scenario.cluster.node_types if n.inventory]
    for p in scenario.profiles:
        lines.append(f"Profile {p.name}: {p.provenance} on {p.device_name or p.device}, {p.date}.")
    return tuple(lines)
