"""The shape of a HorizontalPodAutoscaler manifest (apiVersion autoscaling/v2), as its API reference gives it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from optimizer.autoscalers.hpa.metrics import Source, Target
from optimizer.autoscalers.hpa.whole import MOST_REPLICAS
from optimizer.autoscalers.quantity import amount, milli
from simulator.scenario_fields import ToldError

__all__ = ["HpaFile", "MetricPart", "RulesPart", "TargetPart"]


def _milli(value: object) -> object:
    return None if value is None else milli(value)


def _amount(value: object) -> object:
    return None if value is None else float(amount(value))


Quantity = Annotated[int, BeforeValidator(_milli), Field(gt=0)]
"""In thousandths."""
Tolerance = Annotated[float, BeforeValidator(_amount), Field(ge=0)]
Replicas = Annotated[int, Field(ge=0, le=MOST_REPLICAS)]


class Part(BaseModel):
    """A section of the file: keys that the API does not have are errors, as they are for kubectl."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, validate_by_name=False
    )


class TargetPart(Part):
    """``target``: one of its three values, that of its type."""

    type: Literal["Utilization", "Value", "AverageValue"]
    average_utilization: Annotated[int, Field(gt=0, le=MOST_REPLICAS)] | None = None
    average_value: Quantity | None = None
    value: Quantity | None = None

    @property
    def amounts(self) -> dict[Target, int | None]:
        """What is given for each type."""
        return {
            Target.UTILISATION: self.average_utilization,
            Target.VALUE: self.value,
            Target.AVERAGE_VALUE: self.average_value,
        }

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        wanted = {"Utilization": "averageUtilization", "Value": "value", "AverageValue": "averageValue"}[self.type]
        if self.amounts[Target(self.type)] is None:
            raise ToldError(f"a target of type {self.type} has no {wanted}", f"add {wanted}:")
        if sum(amount is not None for amount in self.amounts.values()) > 1:
            raise ToldError(f"a target of type {self.type} has another value than {wanted}", f"keep {wanted} alone")
        return self


class ResourcePart(Part):
    """``resource``."""

    name: str
    target: TargetPart


class ContainerResourcePart(ResourcePart):
    """``containerResource``."""

    container: str


class MetricName(Part):
    """``metric``; what the selector picks is not modelled."""

    name: Annotated[str, Field(min_length=1)]
    selector: dict[str, Any] | None = None


class PodsPart(Part):
    """``pods``, and ``external``."""

    metric: MetricName
    target: TargetPart


class ObjectPart(PodsPart):
    """``object``; which object is described is not modelled."""

    described_object: dict[str, Any]


class MetricPart(Part):
    """One entry of ``metrics``: its type, and the section of that type."""

    type: Literal["Resource", "ContainerResource", "Pods", "Object", "External"]
    resource: ResourcePart | None = None
    container_resource: ContainerResourcePart | None = None
    pods: PodsPart | None = None
    object: ObjectPart | None = None
    external: PodsPart | None = None

    @property
    def sections(self) -> dict[Source, ResourcePart | PodsPart | None]:
        """What is given for each type."""
        return {
            Source.RESOURCE: self.resource,
            Source.CONTAINER_RESOURCE: self.container_resource,
            Source.PODS: self.pods,
            Source.OBJECT: self.object,
            Source.EXTERNAL: self.external,
        }

    @model_validator(mode="after")
    def _one_section(self) -> Self:
        wanted = self.type[0].lower() + self.type[1:]
        chosen = self.sections[Source(self.type)]
        if chosen is None:
            raise ToldError(f"a metric of type {self.type} has no section {wanted}", f"add {wanted}:")
        if sum(section is not None for section in self.sections.values()) > 1:
            raise ToldError(f"a metric of type {self.type} has another section", f"keep {wanted} alone")
        allowed = _TARGETS[Source(self.type)]
        if chosen.target.type not in allowed:
            problem = f"a metric of type {self.type} has no target of type {chosen.target.type}"
            raise ToldError(problem, f"give {' or '.join(allowed)}")
        return self


_TARGETS = {
    Source.RESOURCE: ("Utilization", "AverageValue"),
    Source.CONTAINER_RESOURCE: ("Utilization", "AverageValue"),
    Source.PODS: ("AverageValue",),
    Source.OBJECT: ("Value", "AverageValue"),
    Source.EXTERNAL: ("Value", "AverageValue"),
}


class PolicyPart(Part):
    """One entry of ``policies``."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(gt=0, le=MOST_REPLICAS)]
    period_seconds: Annotated[int, Field(gt=0, le=1800)]


class RulesPart(Part):
    """``scaleUp`` and ``scaleDown``."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    select_policy: Literal["Max", "Min", "Disabled"] | None = None
    policies: Annotated[list[PolicyPart], Field(min_length=1)] | None = None
    tolerance: Tolerance | None = None


class BehaviorPart(Part):
    """``behavior``."""

    scale_up: RulesPart | None = None
    scale_down: RulesPart | None = None


class SpecPart(Part):
    """``spec``; what the autoscaler is of is said by the scenario, not by ``scaleTargetRef``."""

    scale_target_ref: dict[str, Any] | None = None
    min_replicas: Replicas | None = None
    max_replicas: Annotated[int, Field(gt=0, le=MOST_REPLICAS)]
    metrics: list[MetricPart] | None = None
    behavior: BehaviorPart | None = None

    @property
    def least(self) -> int:
        """``minReplicas`` with its default."""
        return 1 if self.min_replicas is None else self.min_replicas

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_replicas < self.least:
            raise ToldError(f"maxReplicas {self.max_replicas} is below minReplicas {self.least}", "raise maxReplicas")
        if self.least == 0 and not any(metric.type in ("Object", "External") for metric in self.metrics or ()):
            raise ToldError("minReplicas 0 without a metric that no pod is needed for",
                            "add an Object or External metric, or raise minReplicas")  # fmt: skip
        return self


class HpaFile(Part):
    """The whole file."""

    api_version: Literal["autoscaling/v2"]
    kind: Literal["HorizontalPodAutoscaler"]
    metadata: dict[str, Any] | None = None
    spec: SpecPart
    status: Any = None
