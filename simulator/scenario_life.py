"""The section ``life`` of a scenario file: what happens to the fleet, and what works beside serving."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.scenario_fields import Limit, Name, NotNegative, NumberOf, Positive, Section, ToldError

__all__ = [
    "FailureFile", "ImageFile", "JobFile", "LifeFile", "LinkRiskFile", "NodeRiskFile", "RefreshFile", "RisksFile",
    "SpotFile", "StoreRiskFile", "StragglerFile",
]  # fmt: skip

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[0-9]+$")]
TwoSites = Annotated[list[Name], Field(min_length=2, max_length=2)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
AboveOne = Annotated[float, Field(gt=1, allow_inf_nan=False)]


class ImageFile(Section):
    """A container image, read over the weight store once a node."""

    name: Name
    gbyte: Positive
    variants: list[str] = Field(
        default_factory=list, description="as service/stage/variant; empty: all that no other image names"
    )


class FailureFile(Section):
    """An outage that is stated; names one of node, link, access_in, access_out, store_share and cache."""

    at_s: NotNegative
    lasts_s: Positive | None = Field(None, description="needed but for cache, which is there again at once, empty")
    node: NodeName | None = Field(None, description="node type and number from 0, as gpu/3")
    slow_factor: AboveOne | None = Field(
        None, description="with node: it does not fail, but its batches take so many times as long"
    )
    link: TwoSites | None = Field(None, description="from the first site to the second")
    access_in: Name | None = Field(None, description="the way from the users of this site to it")
    access_out: Name | None = Field(None, description="the way back to them")
    store_share: BelowOne | None = Field(None, description="part of the weight store's bandwidth that is left")
    cache: str | None = Field(None, description="site whose result caches are emptied; all: every cache")

    @model_validator(mode="after")
    def _one_thing(self) -> FailureFile:
        names = ("node", "link", "access_in", "access_out", "store_share", "cache")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a failure hits one thing: give one of {', '.join(names)}")
        if self.slow_factor is not None and self.node is None:
            raise ValueError("slow_factor goes with node")
        if self.lasts_s is None and self.cache is None:
            raise ToldError("lasts_s is needed", "add lasts_s, in seconds")
        if self.lasts_s is not None and self.cache is not None:
            raise ToldError("a cache is emptied at once: no lasts_s", "leave lasts_s out")
        return self


class NodeRiskFile(Section):
    """Nodes of a type fail at random, each for itself; times are exponential."""

    node_type: Name
    mtbf_h: Positive = Field(description="mean time that a node works")
    mttr_min: Positive = Field(description="mean time until it works again")


class StragglerFile(Section):
    """Nodes of a type are slow at random, each for itself; times are exponential."""

    node_type: Name
    share: Annotated[float, Field(gt=0, lt=1)] = Field(description="mean part of its time that a node is slow")
    lasts_min: Positive = Field(description="mean time that it stays slow")
    factor: AboveOne = Field(description="batches take so many times as long")


class LinkRiskFile(Section):
    """A link fails at random; times are exponential."""

    link: TwoSites = Field(description="from the first site to the second")
    mtbf_h: Positive
    mttr_min: Positive


class StoreRiskFile(Section):
    """The weight store fails, or slows down, at random; times are exponential."""

    mtbf_h: Positive
    mttr_min: Positive
    share_left: BelowOne = Field(0.0, description="of its bandwidth meanwhile")


class RisksFile(Section):
    """What fails at random; every policy meets the same failures."""

    nodes: list[NodeRiskFile] = Field(default_factory=list)
    stragglers: list[StragglerFile] = Field(default_factory=list)
    links: list[LinkRiskFile] = Field(default_factory=list)
    store: StoreRiskFile | None = None


class SpotFile(Section):
    """Nodes of a type are cheap, and can be taken away."""

    node_type: Name
    mean_life_h: Positive = Field(description="mean time between notices to a node, open or not")
    notice_s: NotNegative = Field(description="from notice to loss; replicas drain meanwhile")
    mean_away_min: NotNegative = Field(0.0, description="mean time until such a node can be rented again")
    price_factor: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="of the type's price")


class RefreshFile(Section):
    """A variant gets new weights, replica after replica, every period."""

    variant: str = Field(description="as service/stage/variant")
    period_min: Positive
    first_min: NotNegative | None = Field(None, description="of the first refresh; else one period")
    max_unavailable: NumberOf = Field(1, description="replicas that are refreshed at one time")
    how: Literal["replace", "in_place"] = Field(
        "replace",
        description="in_place: read beside the old weights where memory allows; "
        "else, and otherwise, a new replica comes before the old one leaves, or after it where there is no room",
    )


class JobFile(Section):
    """Training, or an online update, on GPUs that serving leaves idle."""

    name: Name
    gpus: Limit = Field(description="whole GPUs of one node; 0: it only moves bytes")
    work_gpu_h: NotNegative = 0.0
    node_types: list[Name] = Field(default_factory=list, description="that it may run on; empty: all with GPUs enough")
    gpu_memory_gib: NotNegative = Field(0.0, description="on all its GPUs together")
    cpu_cores: NotNegative = 0.0
    memory_gib: NotNegative = 0.0
    first_min: NotNegative = 0.0
    period_min: Positive | None = Field(None, description="it comes anew every period; else once")
    checkpoint_every_gpu_min: Positive | None = Field(
        None, description="work between checkpoints; what came after the last is lost when it gives way"
    )
    start_s: NotNegative = Field(0.0, description="from getting GPUs to reading its data")
    read_gbyte: NotNegative = Field(0.0, description="over the weight store, at each start")
    write_gbyte: NotNegative = Field(0.0, description="over the weight store, at its end")
    checkpoint_gbyte: NotNegative = Field(0.0, description="over the weight store, at each checkpoint")
    own_node: bool = Field(False, description="a node is opened and kept for it; else it takes what is idle")

    @model_validator(mode="after")
    def _work_needs_gpus(self) -> JobFile:
        if (self.gpus == 0) != (self.work_gpu_h == 0.0):
            raise ValueError(f"job {self.name} needs both gpus and work_gpu_h above 0, or neither")
        if self.gpus == 0 and self.own_node:
            raise ValueError(f"job {self.name} has no GPUs and needs no own_node")
        if self.gpus == 0 and not (self.read_gbyte or self.write_gbyte):
            raise ValueError(f"job {self.name} does nothing: give gpus and work_gpu_h, or read_gbyte or write_gbyte")
        return self


class LifeFile(Section):
    """What happens to the fleet during a run; nothing unless stated."""

    images: list[ImageFile] = Field(default_factory=list, description="else container_start_s holds the pull")
    replace: Literal["next_decision", "at_once"] = Field(
        "next_decision", description="when replicas that were lost are placed anew"
    )
    failures: list[FailureFile] = Field(default_factory=list)
    risks: RisksFile = RisksFile()
    spot: list[SpotFile] = Field(default_factory=list)
    store_tiers: list[Name] | None = Field(
        None, description="tiers of embedding rows that slow down with the store; else the shared ones"
    )
    refreshes: list[RefreshFile] = Field(default_factory=list)
    jobs: list[JobFile] = Field(default_factory=list)
    priorities: dict[str, Limit] = Field(
        default_factory=dict,
        description="by service, 0 is the highest and the default: who is placed first where not all fits",
    )
    evict_lower_priority: bool = Field(False, description="replicas of lower priority leave for those of higher")
