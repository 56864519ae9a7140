"""The scenario file, field by field; `simulator.scenario.load_scenario` reads it.

Every unknown key is an error, and every quantity has its unit in its name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from simulator.scenario_embedding import TiersFile
from simulator.scenario_fields import Limit, Name, NotNegative, Positive, Section
from simulator.scenario_funnel import ServiceFile
from simulator.scenario_life import LifeFile
from simulator.scenario_monitoring import MonitoringFile
from simulator.scenario_network import LinkFile, SiteFile
from workloads.trace.spec import TraceSpec

__all__ = [
    "ClusterFile", "DeviceFile", "InventoryFile", "NodeTypeFile", "PlanningFile", "ScenarioFile",
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
    sites: list[Name] = Field(
        default_factory=list, description="where it stands; several: a node type NAME-SITE at each, alike"
    )
    count: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="nodes at hand, at each of its sites; at most the inventory's"
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
    sites: list[SiteFile] = Field(default_factory=list, description="places of nodes and users; else all are at one")
    links: list[LinkFile] = Field(default_factory=list, description="between sites; without one nothing goes")
    tiers: TiersFile | None = Field(None, description="where embedding rows may be outside the devices")
    node_types: Annotated[list[NodeTypeFile], Field(min_length=1)]


class PlanningFile(Section):
    """What policies are told about how to plan."""

    headroom: NotNegative = Field(0.1, description="fraction above expected demand")
    unserved_usd_per_million: Positive = Field(100.0, description="penalty for planning to leave requests unserved")
    survive: Literal["nothing", "node"] = Field(
        "nothing", description="node: without any one of its nodes the fleet planned still serves the demand"
    )
    headroom_after_loss: NotNegative = Field(0.0, description="fraction above expected demand, without that node")
    budget_usd_per_hour: Positive | None = Field(None, description="most that the nodes planned may cost together")
    batch_caps: Literal["stated", "chosen"] = Field(
        "stated", description="chosen: the cap up to max_batch at which a replica serves most within its budget"
    )

    @model_validator(mode="after")
    def _loss_of_something(self) -> PlanningFile:
        if self.headroom_after_loss and self.survive == "nothing":
            raise ValueError("headroom_after_loss is of use beside 'survive: node' alone")
        return self


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
