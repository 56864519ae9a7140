"""Services as a run knows them: a funnel of stages, each served by variants."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from simulator.cluster import GIB, RESOURCES, NodeType, resource_index
from simulator.plan import ServicePlan, StagePlan
from workloads.profile import ModelProfile

if TYPE_CHECKING:
    from simulator.scenario_embedding import EmbeddingFile

__all__ = ["WARM_UP_PARTS", "Service", "Stage", "StageAccuracy", "Variant", "measured_warm_up_s"]

WARM_UP_PARTS = ("build_s", "compile_s", "graph_capture_s", "first_inference_s")
"""Of a profile's ``resources.load``: what comes between weights loaded and ready."""


def measured_warm_up_s(profile: ModelProfile) -> float:
    """What a profile took between its weights' being loaded and its first answer, as far as it was measured."""
    load = (profile.document or {}).get("resources", {}).get("load", {})
    return float(sum(load.get(part, 0.0) for part in WARM_UP_PARTS))


@dataclass(frozen=True)
class Variant:
    """One way to serve a stage; batch sizes in the profile's unit.

    Attributes
    ----------
    accuracy
        What its profile states of the stage's metric; NaN where the stage names none.
    gpu_share
        Part of a GPU that a replica claims; 1 on a CPU too.
    embedding
        Rows outside the device, where not all fit it.
    min_replicas
        ``(node type, replicas)`` that stand whatever a policy wants.
    storage_bytes_per_s
        Of its node's read bandwidth that a replica claims for good, as for rows or features that it keeps fresh.
    """

    name: str
    profile: ModelProfile
    max_batch: int
    max_wait_s: float
    queue_limit: int
    container_start_s: float
    warm_up_s: float
    cpu_cores: float
    accuracy: float = math.nan
    gpu_share: float = 1.0
    embedding: EmbeddingFile | None = None
    min_replicas: tuple[tuple[str, int], ...] = ()
    storage_bytes_per_s: float = 0.0

    @property
    def on_gpu(self) -> bool:
        """Whether its profile is of a GPU."""
        return self.profile.device_kind == "cuda"

    @property
    def most_on_gpu(self) -> int:
        """Replicas like this one that share a GPU at most."""
        return int(1.0 / self.gpu_share + 1e-9)

    def need(self) -> np.ndarray:
        """``need[resource]`` of one replica, without its share of the network.

        The memory of the profile holds the tables of the profiled model; those of `embedding` stand in their place.
        """
        profile = self.profile
        device_bytes, host_bytes = float(profile.device_memory_bytes), float(profile.host_memory_bytes)
        if self.embedding is not None:
            more = self.embedding.device_gib * GIB - profile.embedding_bytes
            device_bytes, host_bytes = (device_bytes + more, host_bytes) if self.on_gpu else (0.0, host_bytes + more)
            host_bytes += self.embedding.dram_gib * GIB
        values = {
            "gpu": self.gpu_share if self.on_gpu else 0.0,
            "gpu_memory": device_bytes,
            "cpu": self.cpu_cores,
            "memory": host_bytes,
            "storage": self.storage_bytes_per_s,
        }
        return np.array([values.get(resource, 0.0) for resource in RESOURCES])

    @property
    def load_bytes(self) -> float:
        """Bytes that a replica reads before it is ready: weights, and the rows that are not in the profile."""
        if self.embedding is None:
            return float(self.profile.weights_bytes)
        file = self.embedding
        rows_bytes = file.rows * file.row_bytes / file.shards
        on_device = min(file.device_gib * GIB, rows_bytes)
        ratio = 1.0 if file.compression is None else file.compression.ratio
        in_memory = min(file.dram_gib * GIB, (rows_bytes - on_device) * ratio)
        return float(self.profile.weights_bytes - self.profile.embedding_bytes) + on_device + in_memory

    def shortage_on(self, node: NodeType) -> tuple[str, float, float] | None:
        """The first resource that an empty node lacks for one replica: name, needed, there; None where it fits.

        A replica's GPU memory must be on its GPU, not spread over the node's.
        """
        there = node.capacity.copy()
        gpus = there[resource_index("gpu")]
        need = self.need()
        if gpus > 0 and self.on_gpu:
            there[resource_index("gpu_memory")] /= gpus
        for resource, wanted, capacity in zip(RESOURCES, need.tolist(), there.tolist()):
            if wanted > capacity:
                return resource, wanted, capacity
        return None


@dataclass(frozen=True)
class StageAccuracy:
    """What a stage asks of the accuracy of its variants.

    Attributes
    ----------
    metric
        Name of a metric of the variants' profiles that grows as models improve, such as ``auc``.
    data
        What all variants were evaluated on: data set and split.
    floor
        Least mean over served requests; ``-inf`` where none is asked for.
    lost_usd
        What a request is worth less, in USD, for each unit of the metric by which the variant that serves it lies below
        the stage's best one.
    """

    metric: str
    data: str
    floor: float
    lost_usd: float


@dataclass(frozen=True)
class Stage:
    """A stage of a funnel; ``slo_share`` of the service's objective is its latency budget.

    Attributes
    ----------
    plan
        What the data plane knows of it.
    """

    name: str
    plan: StagePlan
    slo_share: float
    variants: tuple[Variant, ...]
    accuracy: StageAccuracy | None = None


@dataclass(frozen=True)
class Service:
    """A service: at quantile ``slo_quantile`` its latency should be at most ``plan.slo_s``.

    Attributes
    ----------
    plan
        What the data plane knows of it.
    class_names, level_names
        Of its priorities and of its cache's levels, in order.
    preload_keys, preload_seen_s
        So many of the hottest keys of some seconds of requests are in its caches at the start; 0: none are.
    planned_hit_share
        Share of its requests that plans made before the run leave to the cache.
    home_shares
        Share of its users by site; empty where there is one site.
    weight
        Its share of the cluster beside other services'.
    """

    name: str
    plan: ServicePlan
    slo_quantile: float
    stages: tuple[Stage, ...]
    class_names: tuple[str, ...] = ("all",)
    level_names: tuple[str, ...] = ()
    preload_keys: int = 0
    preload_seen_s: float = 0.0
    planned_hit_share: float = 0.0
    home_shares: dict[str, float] = field(default_factory=dict)
    weight: float = 1.0

    @property
    def slo_s(self) -> float:
        """Latency objective in seconds."""
        return self.plan.slo_s
