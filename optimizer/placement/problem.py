"""The placement problem: replicas of several classes on explicit nodes of several types.

A class needs amounts of pooled resources (CPU, memory, storage, NIC) and a part of one GPU or whole GPUs; its GPU
memory lies on its GPUs in equal parts. A node is paid for while it hosts anything. Minimise

    sum price of open nodes + unplaced_price * (replicas without a node)

such that no resource of a node and no GPU is overfilled, and no node holds more replicas of a group than its limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from optimizer.fleet.packing import FIT_TOLERANCE

__all__ = ["PlacementProblem", "problem_from_rows"]


@dataclass(frozen=True)
class PlacementProblem:
    """Data of a placement.

    Replicas are numbered class by class, nodes type by type.

    Attributes
    ----------
    resources
        Names of the pooled resources, with their units; GPUs are not among them.
    need
        ``[class, resource]``.
    gpus
        ``[class]`` share of one GPU (below 1) or a whole number of GPUs.
    gpu_memory_gib
        ``[class]`` on all its GPUs together.
    count
        ``[class]`` replicas.
    capacity
        ``[node_type, resource]``.
    node_gpus, gpu_capacity_gib
        ``[node_type]`` GPUs of a node, and the memory of each.
    node_count, price
        ``[node_type]``; prices in any unit, 1 each to count nodes.
    group, group_limit
        ``[class]`` group or -1, and ``[group]`` most replicas of it on one node.
    unplaced_price
        Of a replica without a node; by default ten times the dearest node, so that room is never left unused.
    """

    resources: tuple[str, ...]
    need: np.ndarray
    gpus: np.ndarray
    gpu_memory_gib: np.ndarray
    count: np.ndarray
    capacity: np.ndarray
    node_gpus: np.ndarray
    gpu_capacity_gib: np.ndarray
    node_count: np.ndarray
    price: np.ndarray
    group: np.ndarray
    group_limit: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    unplaced_price: float = 0.0

    def __post_init__(self) -> None:
        if self.unplaced_price <= 0.0:
            object.__setattr__(self, "unplaced_price", 10.0 * max(1e-9, float(np.max(self.price, initial=0.0))))
        classes, types = len(self.count), len(self.node_count)
        shapes = {
            "need": (self.need.shape, (classes, len(self.resources))),
            "capacity": (self.capacity.shape, (types, len(self.resources))),
            "gpus": (self.gpus.shape, (classes,)),
            "gpu_memory_gib": (self.gpu_memory_gib.shape, (classes,)),
            "group": (self.group.shape, (classes,)),
            "node_gpus": (self.node_gpus.shape, (types,)),
            "gpu_capacity_gib": (self.gpu_capacity_gib.shape, (types,)),
            "price": (self.price.shape, (types,)),
        }
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise ValueError(f"{name} has the shape {found}, {expected} was expected")
        if (self.gpus < 0.0).any() or ((self.gpus > 1.0) & (self.gpus != np.round(self.gpus))).any():
            raise ValueError("gpus must be a share of one GPU, or a whole number of GPUs")
        if ((self.gpus == 0.0) & (self.gpu_memory_gib > 0.0)).any():
            raise ValueError("GPU memory is needed by a class that needs no GPU")

    @property
    def classes(self) -> int:
        return len(self.count)

    @cached_property
    def nodes(self) -> int:
        """Nodes of all types."""
        return int(self.node_count.sum())

    @cached_property
    def node_type(self) -> np.ndarray:
        """``[node]``."""
        return np.repeat(np.arange(len(self.node_count)), self.node_count)

    @cached_property
    def replica_class(self) -> np.ndarray:
        """``[replica]``."""
        return np.repeat(np.arange(self.classes), self.count)

    @cached_property
    def cards(self) -> np.ndarray:
        """``[class]`` GPUs that a replica sits on; 0 where it needs none."""
        return np.ceil(self.gpus).astype(np.int64)

    @cached_property
    def card_share(self) -> np.ndarray:
        """``[class]`` of each GPU that it sits on."""
        return np.minimum(self.gpus, 1.0)

    @cached_property
    def card_memory_gib(self) -> np.ndarray:
        """``[class]`` on each GPU that it sits on."""
        return self.gpu_memory_gib / np.maximum(self.cards, 1)

    @cached_property
    def largest_share(self) -> np.ndarray:
        """``[class, resource or GPUs]`` part that a replica claims of the most that any node has."""
        most = np.append(self.capacity.max(axis=0, initial=0.0), max(1, int(self.node_gpus.max(initial=0))))
        return np.asarray(np.column_stack([self.need, self.gpus]) / np.where(most > 0.0, most, 1.0))

    @cached_property
    def limit(self) -> np.ndarray:
        """``[class]`` most replicas of its group on one node; a large number where there is no limit."""
        if len(self.group_limit) == 0:
            return np.full(self.classes, 2**30)
        return np.where(self.group >= 0, self.group_limit[self.group], 2**30)

    @cached_property
    def fits_alone(self) -> np.ndarray:
        """``[class, node_type]`` whether a replica fits on an empty node."""
        slack = FIT_TOLERANCE * self.capacity
        pooled = (self.need[:, None, :] <= self.capacity + slack).all(axis=2)
        gpus = self.cards[:, None] <= self.node_gpus
        memory = self.card_memory_gib[:, None] <= self.gpu_capacity_gib * (1.0 + FIT_TOLERANCE)
        return pooled & gpus & memory & (self.limit[:, None] > 0)

    def misfit(self, cls: int) -> str:
        """Why a replica of a class fits on no node: the resource that most types lack; empty where it fits."""
        if (self.fits_alone[cls] & (self.node_count > 0)).any():
            return ""
        reasons = [
            (self.capacity[:, r] * (1.0 + FIT_TOLERANCE) < self.need[cls, r], f"{self.need[cls, r]:g} {name}")
            for r, name in enumerate(self.resources)
        ]
        reasons.append((self.node_gpus < self.cards[cls], f"{self.gpus[cls]:g} GPUs"))
        short = self.gpu_capacity_gib * (1.0 + FIT_TOLERANCE) < self.card_memory_gib[cls]
        reasons.append((short, f"{self.card_memory_gib[cls]:g} GiB on a GPU"))
        whole = [text for lacking, text in reasons if lacking.all()]
        if self.limit[cls] <= 0:
            return "its group may have no replica on a node"
        if whole:
            return f"no node has {whole[0]}"
        return "no node has together " + " and ".join(text for lacking, text in reasons if lacking.any())


def problem_from_rows(
    resources: tuple[str, ...],
    need: np.ndarray,
    gpus: np.ndarray,
    gpu_memory_gib: np.ndarray,
    group: np.ndarray,
    group_limit: np.ndarray,
    *,
    capacity: np.ndarray,
    node_gpus: np.ndarray,
    gpu_capacity_gib: np.ndarray,
    price: np.ndarray,
    labels: int = 0,
) -> tuple[PlacementProblem, np.ndarray, np.ndarray]:
    """Gather single replicas into classes and single nodes into types.

    Parameters
    ----------
    need, gpus, gpu_memory_gib, group
        ``[row, resource]`` and ``[row]``; one row a replica. A group whose limit is so large that it binds on no node
        should be given as -1: it then does not keep like replicas apart.
    capacity, node_gpus, gpu_capacity_gib, price
        ``[node_row, resource]`` and ``[node_row]``; one row a node.
    labels
        So many columns at the end of ``capacity`` only keep nodes apart, as the model of their GPUs does.

    Returns
    -------
    tuple
        The problem; ``row_of_replica[replica]``; ``row_of_node[node]``. Both keep the order of rows among equals.
    """
    replicas = np.column_stack([need, gpus, gpu_memory_gib, group])
    width = len(resources)
    kept, told = capacity[:, :width], capacity[:, width : width + labels]
    nodes = np.column_stack([kept, node_gpus, gpu_capacity_gib, price, told])
    kinds, class_of, count = np.unique(replicas, axis=0, return_inverse=True, return_counts=True)
    types, type_of, node_count = np.unique(nodes, axis=0, return_inverse=True, return_counts=True)
    problem = PlacementProblem(
        resources=resources,
        need=kinds[:, :width],
        gpus=kinds[:, width],
        gpu_memory_gib=kinds[:, width + 1],
        count=count.astype(np.int64),
        capacity=types[:, :width],
        node_gpus=types[:, width].astype(np.int64),
        gpu_capacity_gib=types[:, width + 1],
        node_count=node_count.astype(np.int64),
        price=types[:, width + 2],
        group=kinds[:, width + 2].astype(np.int64),
        group_limit=group_limit,
    )
    row_of_replica = np.argsort(class_of.ravel(), kind="stable")
    return problem, row_of_replica, np.argsort(type_of.ravel(), kind="stable")
