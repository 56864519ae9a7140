"""A user's HorizontalPodAutoscaler manifest as a configuration, with the defaults that the API fills in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.autoscalers.hpa.behaviour import PolicyType, RatePolicy, Rules, Select
from optimizer.autoscalers.hpa.limits import Bounds
from optimizer.autoscalers.hpa.metrics import Metric, Source, Target
from optimizer.autoscalers.hpa.spec import DEFAULT_DOWN, DEFAULT_METRIC, DEFAULT_UP, Behaviour, HpaSpec
from workloads.errors import InputError

if TYPE_CHECKING:
    from optimizer.autoscalers.hpa.manifest_file import MetricPart, RulesPart

__all__ = ["read_hpa"]


def read_hpa(path: Path) -> HpaSpec:
    """Read one HorizontalPodAutoscaler of apiVersion autoscaling/v2.

    Raises
    ------
    InputError
        What is wrong, with file, line, field, value and fix.
    """
    from pydantic import ValidationError

    from optimizer.autoscalers.hpa.manifest_file import HpaFile
    from simulator.scenario_errors import explain
    from simulator.strict_yaml import read_yaml

    document = read_yaml(path)
    if not isinstance(document.value, dict):
        raise InputError(str(path), "it is empty or not a mapping", "give a HorizontalPodAutoscaler manifest")
    try:
        file = HpaFile.model_validate(document.value)
    except ValidationError as error:
        raise explain(document, error, HpaFile) from None
    spec = file.spec
    behaviour = None
    if spec.behavior is not None:
        up, down = spec.behavior.scale_up, spec.behavior.scale_down
        behaviour = Behaviour(_rules(up, DEFAULT_UP), _rules(down, DEFAULT_DOWN))
    metrics = tuple(_metric(part) for part in spec.metrics or ()) or (DEFAULT_METRIC,)
    return HpaSpec(Bounds(spec.least, spec.max_replicas), metrics, behaviour)


def _metric(part: MetricPart) -> Metric:
    source = Source(part.type)
    section = part.sections[source]
    assert section is not None
    target = Target(section.target.type)
    amount = section.target.amounts[target]
    assert amount is not None
    name = section.metric.name if hasattr(section, "metric") else section.name
    return Metric(source, name, target, amount)


def _rules(part: RulesPart | None, default: Rules) -> Rules:
    """The rules of one direction; what is left out is as the API fills it in."""
    if part is None:
        return default
    rules = default
    if part.policies is not None:
        policies = (RatePolicy(PolicyType(p.type), p.value, float(p.period_seconds)) for p in part.policies)
        rules = replace(rules, policies=tuple(policies))
    if part.select_policy is not None:
        rules = replace(rules, select=Select(part.select_policy))
    if part.stabilization_window_seconds is not None:
        rules = replace(rules, window_s=float(part.stabilization_window_seconds))
    return rules if part.tolerance is None else replace(rules, tolerance=part.tolerance)
