"""The scenario file, field by field; `simulator.scenario.load_scenario` reads it.

Every unknown key is an error, and every quantity has its unit in its name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from simulator.scenario_fields import Limit, Name, NotNegative, NumberOf, Positive, Section
from simulator.scenario_life import LifeFile
from simulator.scenario_monitoring import MonitoringFile
from workloads.trace.spec import TraceSpec

__all__ = [
    "AccuracyFile", "ClusterFile", "DeviceFile", "InventoryFile", "NodeTypeFile", "PlanningFile", "ScenarioFile",
    "ServiceFile", "StageFile", "VariantFile",
]  # fmt: skip


class DeviceFile(Section):
    """A device of a node type, by the id that profiles give it."""

    device: str = Field(description="device id of profiles, as `nvidia-h200`")
    speed: Positive = Field(1.0, description="times as fast as the profiled device")
    assumption: str = Field("", description="why that speed; needed where speed is not 1, printed in reports")

    @model_validator(mode="after")
    def _say_why(self) -> DeviceFile:
        if self.speed != 1.0 and not self.assumption:
            raise ValueError(f"speed {self.speed:g} is not measured: state its reason in 'assumption'")
        return self


class InventoryFile(Section):
    """Takes count, GPUs, cores and memory of a node type from a list of real nodes (columns cpu_milli, memory_mib,
    gpu_count, gpu_model)."""

    file: str
    gpu_model: str = Field("", description="empty: nodes without a GPU")
    cpu_cores: Positive | None = Field(None, description="only nodes with this many cores")
    memory_gib: Positive | None = Field(None, description="only nodes with this much memory")


class NodeTypeFile(Section):
    """A kind of node that can be rented."""

    name: Name
    inventory: InventoryFile | None = None
    count: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="nodes at hand; at most the inventory's"
    )
    gpus: Limit | None = None
    gpu_memory_gib: NotNegative = Field(0.0, description="of all GPUs of a node together")
    cpu_cores: Positive | None = None
    memory_gib: Positive | None = None
    storage_gbyte_per_s: Positive = Field(description="read bandwidth of one node from the weight store")
    network_gbit_per_s: Positive = Field(description="what one node's network card receives")
    price_usd_per_hour: Positive
    boot_s: NotNegative = Field(description="from renting a node to the first container start on it")
    devices: Annotated[list[DeviceFile], Field(min_length=1)]
    source: str = Field("", description="what shape and price rest on, printed in reports as assumed")

    @model_validator(mode="after")
    def _one_shape(self) -> NodeTypeFile:
        given = [name for name in ("gpus", "cpu_cores", "memory_gib") if getattr(self, name) is not None]
        if self.inventory is not None and given:
            raise ValueError(f"{given[0]} comes from the inventory here: leave it out, or leave the inventory out")
        return self


class ClusterFile(Section):
    """Node types and what they share."""

    storage_gbyte_per_s: Positive = Field(description="bandwidth of the weight store, all nodes together")
    hop_delay_ms: NotNegative = Field(description="delay of one hop: client to stage, stage to stage, stage to client")
    source: str = ""
    node_types: Annotated[list[NodeTypeFile], Field(min_length=1)]


class VariantFile(Section):
    """One way to serve a stage: a measured profile and a batch rule."""

    profile: str = Field(description="name of a shipped profile, or path of a profile file")
    name: Name | None = None
    max_batch: NumberOf = Field(description="in the profile's unit: items or requests")
    max_wait_ms: NotNegative = 0.0
    queue_limit: Limit = Field(0, description="requests waiting at one replica; 0: no limit")
    container_start_s: NotNegative = Field(description="from placement to the start of the weight load")
    warm_up_s: NotNegative = Field(0.0, description="from weights loaded to ready")
    cpu_cores: Positive | None = Field(None, description="cores one replica claims; else the profile's")


FALLING_METRICS = ("rmse", "mse", "mae", "logloss")
"""Metrics that fall as models improve: a floor, or a price on what is lost, would mean the opposite."""


class AccuracyFile(Section):
    """What a stage asks of the accuracy of its variants, as their profiles state it."""

    metric: Name = Field(description="of the variants' profiles, as `auc`; it must grow as models improve")
    floor: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="least mean of the metric over served requests"
    )
    usd_per_point_per_million: NotNegative = Field(
        0.0,
        description="what a million requests are worth less for each point (0.01) below the stage's best variant",
    )

    @model_validator(mode="after")
    def _grows(self) -> AccuracyFile:
        if self.metric in FALLING_METRICS:
            raise ValueError(f"metric {self.metric} falls as models improve: name one that grows, as auc or ndcg10")
        return self


class StageFile(Section):
    """A stage of a funnel."""

    name: Name
    candidates: NumberOf = Field(description="most items that enter the stage")
    item_bytes: NotNegative = Field(0.0, description="bytes on the wire per item")
    router: Literal["least_outstanding", "round_robin"] = "least_outstanding"
    max_outstanding: Limit = Field(
        0, description="requests that a replica holds before the router holds further ones; 0: no limit"
    )
    slo_share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="share of the service's latency objective; else equal shares"
    )
    accuracy: AccuracyFile | None = Field(None, description="accuracy asked for; else it plays no part")
    variants: Annotated[list[VariantFile], Field(min_length=1)]

    @model_validator(mode="after")
    def _holding_needs_least_outstanding(self) -> StageFile:
        if self.max_outstanding and self.router != "least_outstanding":
            raise ValueError(f"max_outstanding works with router least_outstanding, not {self.router}")
        for variant in self.variants:
            if 0 < variant.queue_limit < self.max_outstanding:
                raise ValueError(
                    f"queue_limit {variant.queue_limit} is below max_outstanding {self.max_outstanding}: "
                    "requests would be held and then rejected; raise the one or lower the other"
                )
        return self


class ServiceFile(Section):
    """A service: its objective and its funnel."""

    name: Name
    slo_ms: Positive
    slo_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.99
    stages: Annotated[list[StageFile], Field(min_length=1)]


class PlanningFile(Section):
    """What policies are told about how to plan."""

    headroom: NotNegative = Field(0.1, description="fraction above expected demand")
    unserved_usd_per_million: Positive = Field(100.0, description="penalty for planning to leave requests unserved")


class ScenarioFile(Section):
    """A trace, a cluster, services and the policies that compete."""

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    control_interval_s: Positive = 60.0
    service_noise: bool = Field(True, description="draw latencies from the measured spread; false: means")
    trace: TraceSpec
    cluster: ClusterFile
    services: Annotated[list[ServiceFile], Field(min_length=1)]
    policies: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    planning: PlanningFile = PlanningFile()
    monitoring: MonitoringFile = MonitoringFile()
    life: LifeFile = LifeFile()
    assumptions: list[str] = Field(default_factory=list, description="further assumptions, printed in reports")
