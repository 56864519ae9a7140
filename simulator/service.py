"""Services as a run knows them: a funnel of stages, each served by variants."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulator.cluster import RESOURCES, NodeType, resource_index
from workloads.profile import ModelProfile

__all__ = ["Service", "Stage", "StageAccuracy", "Variant"]


@dataclass(frozen=True)
class Variant:
    """One way to serve a stage; batch sizes in the profile's unit.

    ``accuracy`` is what its profile states of the stage's metric; NaN where the stage names none.
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
    """A stage of a funnel; ``slo_share`` of the service's objective is its latency budget."""

    name: str
    candidates: int
    item_bytes: float
    router: str
    max_outstanding: int
    slo_share: float
    variants: tuple[Variant, ...]
    accuracy: StageAccuracy | None = None


@dataclass(frozen=True)
class Service:
    """A service: at quantile ``slo_quantile`` its latency should be at most ``slo_s``."""

    name: str
    slo_s: float
    slo_quantile: float
    stages: tuple[Stage, ...]
