"""The cluster of a scenario: node types as the file gives them, or as an inventory of real nodes does."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from simulator.cluster import GIB, RESOURCES, Cluster, DeviceOnNode, NodeType
from simulator.scenario_embedding import resolve_tiers
from simulator.scenario_file import ClusterFile, InventoryFile, NodeTypeFile
from simulator.scenario_network import resolve_network
from simulator.scenario_reading import Place, Reading
from workloads.data_folder import DATA_PREFIX, resolve_path
from workloads.errors import InputError

__all__ = ["resolve_cluster"]


def resolve_cluster(reading: Reading, file: ClusterFile) -> Cluster:
    """The cluster, with node types filled in from their inventories."""
    place: Place = ("cluster", "node_types")
    network = resolve_network(reading, file.sites, file.links)
    reading.refuse_twins(place, [n.name for n in file.node_types])
    node_types = tuple(
        node
        for i, at_hand in enumerate(file.node_types)
        for node in _at_its_sites(reading, (*place, i), at_hand, network.names)
    )
    _refuse_same_names(reading, place, file, node_types)
    return Cluster(
        node_types=node_types,
        storage_bytes_per_s=file.storage_gbyte_per_s * 1e9,
        hop_delay_s=file.hop_delay_ms / 1e3,
        source=file.source,
        network=network,
        tiers=resolve_tiers(file.tiers),
    )


def _at_its_sites(reading: Reading, place: Place, file: NodeTypeFile, sites: tuple[str, ...]) -> list[NodeType]:
    """The node type, or one like it at each of its sites, named after them."""
    node = _node_type(reading, place, file)
    known = f"use one of {', '.join(sites)}" if len(sites) > 1 else "add cluster.sites, or leave sites out"
    for i, name in enumerate(file.sites):
        if name not in sites:
            raise InputError(reading.where(*place, "sites", i), f"there is no site '{name}'", known)
        if name in file.sites[:i]:
            raise InputError(reading.where(*place, "sites", i), f"site '{name}' is there twice", "keep one of them")
    if not file.sites:
        if len(sites) > 1:
            raise InputError(reading.where(*place), f"node type '{file.name}' does not say where it stands",
                             f"add sites: with some of {', '.join(sites)}")  # fmt: skip
        return [node]
    if len(file.sites) == 1:
        return [replace(node, site=sites.index(file.sites[0]))]
    return [replace(node, name=f"{node.name}-{name}", site=sites.index(name)) for name in file.sites]


def _refuse_same_names(reading: Reading, place: Place, file: ClusterFile, nodes: tuple[NodeType, ...]) -> None:
    """Names that several sites make must differ from those given."""
    names = [n.name for n in nodes]
    for name in names:
        if names.count(name) > 1:
            i = next((i for i, n in enumerate(file.node_types) if n.name == name), 0)
            raise InputError(
                reading.where(*place, i),
                f"name '{name}' is that of another node type at its site",
                "rename one of them",
            )


def _node_type(reading: Reading, place: Place, file: NodeTypeFile) -> NodeType:
    where = reading.where(*place)
    count, gpus, cores, memory_gib = file.count, file.gpus, file.cpu_cores, file.memory_gib
    sites = max(len(file.sites), 1)
    inventory = ""
    if file.inventory is not None:
        where = reading.where(*place, "inventory")
        at_hand, gpus, cores, memory_gib = _from_inventory(reading, where, file.inventory)
        count = min(count or at_hand, at_hand // sites)
        if count == 0:
            raise InputError(where, f"{at_hand} such nodes are fewer than its {sites} sites", "name fewer sites")
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


def _from_inventory(reading: Reading, where: str, inventory: InventoryFile) -> tuple[int, int, float, float]:
    """Count, GPUs, cores and GiB of the commonest shape that matches."""
    name = inventory.file
    try:
        path = resolve_path(name, reading.base)
    except InputError as error:
        raise InputError(where, f"{error.where}: {error.problem}", error.fix) from None
    if not path.is_file():
        raise InputError(where, f"inventory file {name} does not exist", "give the path of a CSV of nodes")
    reading.note_input(name, path)
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
