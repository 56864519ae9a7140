"""A service of a scenario as the file gives it: its objective, its users, its cache, and its funnel of stages."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from simulator.scenario_cache import CacheFile
from simulator.scenario_embedding import EmbeddingFile
from simulator.scenario_fields import Limit, Name, NotNegative, NumberOf, Positive, RouterName, Section, Share

__all__ = ["AccuracyFile", "ServiceFile", "StageFile", "VariantFile"]


class VariantFile(Section):
    """One way to serve a stage: a measured profile and a batch rule."""

    profile: str = Field(description="name of a shipped profile, or path of a profile file")
    name: Name | None = None
    max_batch: NumberOf = Field(description="in the profile's unit: items or requests")
    max_wait_ms: NotNegative = 0.0
    queue_limit: Limit = Field(0, description="tasks waiting at one replica; 0: no limit")
    container_start_s: NotNegative = Field(description="from placement to the start of the weight load")
    warm_up_s: NotNegative = Field(0.0, description="from weights loaded to ready")
    measured_start: bool = Field(
        False,
        description="what the profile took from weights loaded to its first answer comes before warm_up_s: building, "
        "compiling, capturing graphs, first inference",
    )
    cpu_cores: Positive | None = Field(None, description="cores one replica claims; else the profile's")
    storage_gbyte_per_s: NotNegative = Field(
        0.0, description="of its node's read bandwidth from the weight store that one replica claims for good"
    )
    gpu_share: Share = Field(1.0, description="part of a GPU that one replica claims; others may claim the rest")
    embedding: EmbeddingFile | None = Field(None, description="rows that do not fit the device; else all do")
    min_replicas: dict[str, NumberOf] = Field(
        default_factory=dict, description="by node type: replicas that stand there whatever a policy wants"
    )


MOST_CLASSES = 4

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
    split_items: Limit = Field(0, description="most items of one task; 0: requests are not split")
    router: RouterName = "least_outstanding"
    function: str | None = Field(
        None, description="of router function: path/to/file.py:name, or one that is registered"
    )
    hash_bound: NotNegative | None = Field(
        None, description="of router consistent_hash: how far a replica may exceed the mean of outstanding tasks"
    )
    spill_outstanding: Limit | None = Field(
        None, description="of router locality: outstanding tasks from which other sites are looked at; 0: never"
    )
    max_outstanding: Limit = Field(
        0, description="tasks that a replica holds before the router holds further ones; 0: no limit"
    )
    slo_share: Share | None = Field(None, description="share of the service's latency objective; else equal shares")
    deadline_share: Share = Field(
        1.0, description="part of the service's deadline after which the stage does not begin a request any more"
    )
    retries: Annotated[int, Field(ge=0, le=31)] = Field(0, description="times that a lost task is routed again")
    retry_delay_ms: NotNegative = Field(0.0, description="from its loss to that")
    hedge_after_ms: Positive | None = Field(
        None, description="from a replica's taking a task to a second copy at another; else none is sent"
    )
    accuracy: AccuracyFile | None = Field(None, description="accuracy asked for; else it plays no part")
    variants: Annotated[list[VariantFile], Field(min_length=1)]

    @model_validator(mode="after")
    def _fields_of_the_router(self) -> StageFile:
        for name, router in (
            ("function", "function"),
            ("hash_bound", "consistent_hash"),
            ("spill_outstanding", "locality"),
        ):
            if getattr(self, name) is not None and self.router != router:
                raise ValueError(f"{name} goes with router {router}, not {self.router}")
        if self.router == "function" and self.function is None:
            raise ValueError("router function needs 'function', as routers.py:choose")
        if self.max_outstanding and self.router != "least_outstanding":
            raise ValueError(f"max_outstanding works with router least_outstanding, not {self.router}")
        return self

    @model_validator(mode="after")
    def _what_is_held_is_not_refused(self) -> StageFile:
        for variant in self.variants:
            if 0 < variant.queue_limit < self.max_outstanding:
                raise ValueError(
                    f"queue_limit {variant.queue_limit} is below max_outstanding {self.max_outstanding}: "
                    "requests would be held and then rejected; raise the one or lower the other"
                )
        return self

    @model_validator(mode="after")
    def _a_delay_needs_retries(self) -> StageFile:
        if self.retry_delay_ms and not self.retries:
            raise ValueError("retry_delay_ms without retries: give retries too, or leave it out")
        return self


class ServiceFile(Section):
    """A service: its objective, its users and its funnel."""

    name: Name
    slo_ms: Positive
    slo_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.99
    deadline_ms: Positive | None = Field(
        None, description="from arrival; later, stages reject a request instead of beginning it; else never"
    )
    bytes_out: NotNegative = Field(0.0, description="size of an answer")
    homes: dict[str, Share] = Field(
        default_factory=dict, description="shares of its users by site; needed where there are several sites"
    )
    priorities: dict[Name, Share] = Field(
        default_factory=dict, description="shares of its users by class, the first served first; at most 4"
    )
    weight: Positive = Field(
        1.0, description="its share of the cluster beside other services', where not all find room, and in fairness"
    )
    cache: CacheFile | None = Field(None, description="of its answers; else none are kept")
    stages: Annotated[list[StageFile], Field(min_length=1)]

    @model_validator(mode="after")
    def _few_classes(self) -> ServiceFile:
        if len(self.priorities) > MOST_CLASSES:
            raise ValueError(f"priorities has {len(self.priorities)} classes: give at most {MOST_CLASSES}")
        return self

    @model_validator(mode="after")
    def _shares_of_a_deadline(self) -> ServiceFile:
        for stage in self.stages:
            if stage.deadline_share != 1.0 and self.deadline_ms is None:
                raise ValueError(f"stage {stage.name} has a deadline_share, but the service has no deadline_ms: add it")
        return self
