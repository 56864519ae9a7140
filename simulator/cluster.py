"""What the fleet runs on: node types, their resources, and what a replica claims of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from simulator.plan import LinkPlan, SitePlan, TierPlan

__all__ = ["GIB", "RESOURCES", "RESOURCE_UNITS", "Cluster", "DeviceOnNode", "Network", "NodeType", "resource_index"]

RESOURCES: tuple[str, ...] = ("gpu", "gpu_memory", "cpu", "memory", "storage", "network")
"""The resource axis of every array, in order."""

RESOURCE_UNITS: dict[str, str] = {
    "gpu": "GPUs",
    "gpu_memory": "bytes",
    "cpu": "cores",
    "memory": "bytes",
    "storage": "bytes/s read",
    "network": "bytes/s received",
}


GIB = 2.0**30
"""Bytes."""


def resource_index(name: str) -> int:
    """Position of a resource on the resource axis."""
    return RESOURCES.index(name)


@dataclass(frozen=True)
class DeviceOnNode:
    """A device that profiles name, as this node type offers it.

    Attributes
    ----------
    device
        The profile's device id, for example ``nvidia-h200``.
    speed
        Latency here is the profile's divided by this; 1 is the measured device itself.
    assumption
        Why that speed, where it is not 1; printed in every report. Empty where the device is the measured one.
    """

    device: str
    speed: float = 1.0
    assumption: str = ""


@dataclass(frozen=True)
class NodeType:
    """A kind of machine: how many there are, what each holds and what each costs.

    Attributes
    ----------
    count
        Machines of this type that can be rented at once.
    capacity
        ``capacity[resource]``, in the units of `RESOURCE_UNITS`.
    price_usd_per_hour
        Paid for a whole node from the moment it is opened for its first replica until its last replica is released.
    boot_s
        From opening the node to the first container start on it.
    source
        What shape and price rest on.
    inventory
        The list of real nodes that shape and count were taken from; empty where they are the scenario's.
    site
        Index of the site where its nodes stand.
    """

    name: str
    count: int
    capacity: np.ndarray
    price_usd_per_hour: float
    boot_s: float
    devices: tuple[DeviceOnNode, ...]
    source: str = ""
    inventory: str = ""
    site: int = 0

    def speed_of(self, device: str) -> float:
        """Speed for a profile's device, 0 where the node does not have it."""
        return next((d.speed for d in self.devices if d.device == device), 0.0)


@dataclass(frozen=True)
class Network:
    """Sites and the links between them.

    Attributes
    ----------
    names, sites
        One each.
    links
        By ``(from site, to site)``.
    """

    names: tuple[str, ...] = ("site",)
    sites: tuple[SitePlan, ...] = (SitePlan(),)
    links: dict[tuple[int, int], LinkPlan] = field(default_factory=dict)


@dataclass(frozen=True)
class Cluster:
    """Node types behind one router, with shared weight storage.

    Attributes
    ----------
    storage_bytes_per_s
        Bandwidth of the shared store that weights are read from, over all nodes together.
    hop_delay_s
        Propagation and protocol delay of one hop (client to stage, stage to stage, last stage to client).
    tiers
        Where embedding rows may be outside the device, fastest first.
    """

    node_types: tuple[NodeType, ...]
    storage_bytes_per_s: float
    hop_delay_s: float
    source: str = ""
    network: Network = Network()
    tiers: tuple[TierPlan, ...] = ()

    @property
    def capacity(self) -> np.ndarray:
        """``capacity[node_type, resource]``."""
        return np.array([n.capacity for n in self.node_types], dtype=np.float64).reshape(-1, len(RESOURCES))

    @property
    def count(self) -> np.ndarray:
        """``count[node_type]``."""
        return np.array([n.count for n in self.node_types], dtype=np.int64)

    @property
    def price_usd_per_hour(self) -> np.ndarray:
        """``price_usd_per_hour[node_type]``."""
        return np.array([n.price_usd_per_hour for n in self.node_types], dtype=np.float64)
