"""Settings of a revision from the manifest that people apply: a Knative Service, or a KServe InferenceService.

KServe writes ``minReplicas``, ``maxReplicas``, ``scaleTarget`` and ``scaleMetric`` of a predictor into the annotations
of the Knative Service that it makes; so they are read as such. A transformer or an explainer is a deployment of its
own, and none of this one's business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from optimizer.autoscalers.kpa_settings import KpaSettings
from optimizer.autoscalers.kpa_target import TargetDefaults
from optimizer.autoscalers.manifests import Section, duration_s, read_manifest
from optimizer.options import suggestion
from workloads.errors import InputError

__all__ = ["read_cluster_config", "read_revision"]

GROUP = "autoscaling.knative.dev/"
KPA_CLASS = "kpa.autoscaling.knative.dev"


def _number(section: Section, key: str) -> float:
    return section.quoted_number(key)


def _fraction(section: Section, key: str) -> float:
    """A percentage; up to 1 it is a fraction already, as in Knative."""
    value = section.quoted_number(key)
    return value if value <= 1.0 and key.startswith("container-") else value / 100.0


def _whole(section: Section, key: str) -> int:
    value = section.quoted_number(key)
    if value != int(value):
        raise section.error((key,), f"{section.text(key)!r} is not a whole number", 'give one in quotes, as in "3"')
    return int(value)


def _duration(section: Section, key: str) -> float:
    seconds = duration_s(section.text(key))
    if seconds is None:
        raise section.error((key,), f"{section.text(key)!r} is not a duration", 'give one as in "90s" or "1m30s"')
    return seconds


def _flag(section: Section, key: str) -> bool:
    text = section.text(key)
    if text.lower() not in ("true", "false"):
        raise section.error((key,), f"{text!r} is neither true nor false", 'give "true" or "false"')
    return text.lower() == "true"


def _metric(section: Section, key: str) -> str:
    metric = section.text(key)
    if metric not in ("concurrency", "rps"):
        fix = "use concurrency or rps, or take the policy hpa" if metric in ("cpu", "memory") else "use one of them"
        raise section.error((key,), f"the KPA scales on concurrency or rps, not on {metric!r}", fix)
    return metric


def _algorithm(section: Section, key: str) -> str:
    known = {"linear": "linear", "weighted-exponential": "weighted-exponential"}
    known["weightedExponential"] = known["weighted-exponential"]
    algorithm = section.text(key)
    if algorithm not in known:
        raise section.error((key,), f"{algorithm!r} is unknown", "use linear or weighted-exponential")
    return known[algorithm]


_Reader = Callable[[Section, str], Any]
_ANNOTATIONS: dict[str, tuple[str, _Reader]] = {
    "metric": ("metric", _metric),
    "target": ("target", _number),
    "target-utilization-percentage": ("target_utilisation", _fraction),
    "window": ("window_s", _duration),
    "panic-window-percentage": ("panic_window_percent", _number),
    "panic-threshold-percentage": ("panic_threshold_percent", _number),
    "target-burst-capacity": ("burst_capacity", _number),
    "activation-scale": ("activation_scale", _whole),
    "scale-down-delay": ("scale_down_delay_s", _duration),
    "min-scale": ("min_scale", _whole),
    "max-scale": ("max_scale", _whole),
    "initial-scale": ("initial_scale", _whole),
    "scale-to-zero-pod-retention-period": ("retention_s", _duration),
    "metric-aggregation-algorithm": ("aggregation", _algorithm),
}
"""Annotations of the group, to the setting and its reader; each may be in camel case, as older manifests have it."""

_CLUSTER: dict[str, tuple[str, _Reader]] = {
    "stable-window": ("window_s", _duration),
    "panic-window-percentage": ("panic_window_percent", _number),
    "panic-threshold-percentage": ("panic_threshold_percent", _number),
    "target-burst-capacity": ("burst_capacity", _number),
    "max-scale-up-rate": ("up_rate", _number),
    "max-scale-down-rate": ("down_rate", _number),
    "enable-scale-to-zero": ("scale_to_zero", _flag),
    "scale-to-zero-grace-period": ("grace_s", _duration),
    "scale-to-zero-pod-retention-period": ("retention_s", _duration),
    "scale-down-delay": ("scale_down_delay_s", _duration),
    "min-scale": ("min_scale", _whole),
    "max-scale": ("max_scale", _whole),
    "initial-scale": ("initial_scale", _whole),
    "activation-scale": ("activation_scale", _whole),
    "tick-interval": ("tick_s", _duration),
}

_CLUSTER_TARGETS: dict[str, tuple[str, _Reader]] = {
    "container-concurrency-target-default": ("concurrency", _number),
    "container-concurrency-target-percentage": ("concurrency_utilisation", _fraction),
    "requests-per-second-target-default": ("rps", _number),
}
_CLUSTER_IGNORED = (
    "_example",
    "activator-capacity",
    "allow-zero-initial-scale",
    "enable-graceful-scaledown",
    "max-scale-limit",
)
"""What changes no number of pods of a valid revision."""


def read_cluster_config(path: str | None) -> KpaSettings:
    """Defaults of the cluster, from its ConfigMap ``config-autoscaler``; Knative's own without a file.

    Raises
    ------
    InputError
        If the file is no such ConfigMap, or a setting is unknown or out of its range.
    """
    if path is None:
        return KpaSettings()
    whole = read_manifest(path)
    if whole.text("kind") != "ConfigMap":
        raise whole.error(("kind",), f"a {whole.text('kind')} has no cluster's settings", "give config-autoscaler")
    data = whole.section("data")
    data.refuse_unknown([*_CLUSTER, *_CLUSTER_TARGETS, *_CLUSTER_IGNORED, "pod-autoscaler-class"])
    if data.text("pod-autoscaler-class", KPA_CLASS) != KPA_CLASS:
        raise data.error(("pod-autoscaler-class",), "this cluster does not use the KPA", "take the policy hpa")
    values = {name: read(data, key) for key, (name, read) in _CLUSTER.items() if data.has(key)}
    targets = {name: read(data, key) for key, (name, read) in _CLUSTER_TARGETS.items() if data.has(key)}
    return _made(data, {**values, "defaults": TargetDefaults(**targets)})


def read_revision(path: str, cluster: KpaSettings | None = None) -> KpaSettings:
    """Settings of the revision that a manifest describes.

    Parameters
    ----------
    cluster
        What holds where the manifest is silent.

    Raises
    ------
    InputError
        If the manifest asks for another autoscaler, or for something that is not modelled.
    """
    whole = read_manifest(path)
    kind = whole.text("kind")
    if kind not in _KINDS:
        known = " or ".join(_KINDS)
        raise whole.error(("kind",), f"a {kind} is no revision under the KPA", f"give a {known}")
    given = _KINDS[kind](whole)
    return _made(whole, {**_values_of(cluster or KpaSettings()), **given})


def _values_of(settings: KpaSettings) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(settings)}


def _made(section: Section, values: dict[str, Any]) -> KpaSettings:
    try:
        return KpaSettings(**values)
    except InputError as error:
        raise section.error((), f"{error.where}: {error.problem}", error.fix) from None


def _of_service(whole: Section) -> dict[str, Any]:
    """A Knative Service or Configuration."""
    outside = whole.section("metadata", "annotations")
    for key in outside.value:
        if key.startswith(GROUP):
            fix = "move it to spec.template.metadata.annotations"
            raise outside.error((key,), "Knative refuses this annotation here", fix)
    shares = [target for target in whole.section("spec").sections("traffic") if target.value.get("percent") != 0]
    if len(shares) > 1:
        raise whole.error(("spec", "traffic"), "traffic is split among several revisions", "leave one of them")
    template = whole.section("spec", "template")
    values = _annotated(template.section("metadata", "annotations"))
    if template.section("spec").has("containerConcurrency"):
        values["container_concurrency"] = template.section("spec").whole("containerConcurrency")
    return values


def _of_inference_service(whole: Section) -> dict[str, Any]:
    """A KServe InferenceService in serverless mode."""
    annotations = whole.section("metadata", "annotations")
    mode = annotations.text("serving.kserve.io/deploymentMode", "Serverless")
    if mode not in ("Serverless", "Knative"):
        raise annotations.error(
            ("serving.kserve.io/deploymentMode",), f"{mode} mode does not use the KPA", "take the policy hpa"
        )
    annotations.refuse(("serving.kserve.io/autoscalerClass",), "chooses another autoscaler", "leave it out")
    predictor = whole.section("spec", "predictor")
    predictor.refuse(
        ("canaryTrafficPercent",), "splits traffic among two revisions, which is not modelled", "remove it"
    )
    predictor.refuse(("autoScaling",), "is of KServe's KEDA mode", "remove it, or take the policy keda")
    values = _annotated(annotations)
    for name, value in _annotated(predictor.section("annotations")).items():
        values[name] = value
    own = _fields_of(predictor)
    for name, value in own.items():
        if values.get(name, value) != value:
            raise predictor.error((), f"annotations and fields differ on {name}", "say it once")
    return {**values, **own}


def _fields_of(predictor: Section) -> dict[str, Any]:
    """Fields of a predictor that KServe turns into annotations; its least number of replicas is 1 unless said."""
    values: dict[str, Any] = {"min_scale": predictor.whole("minReplicas", 1)}
    if predictor.has("maxReplicas"):
        values["max_scale"] = predictor.whole("maxReplicas")
    if predictor.has("scaleTarget"):
        values["target"] = predictor.number("scaleTarget")
    if predictor.has("scaleMetric"):
        values["metric"] = _metric(predictor, "scaleMetric")
    if predictor.has("containerConcurrency"):
        values["container_concurrency"] = predictor.whole("containerConcurrency")
    return values


_KINDS: dict[str, Callable[[Section], dict[str, Any]]] = {
    "Service": _of_service,
    "Configuration": _of_service,
    "InferenceService": _of_inference_service,
}


def _annotated(annotations: Section) -> dict[str, Any]:
    """Settings by annotation; other groups' annotations are none of the autoscaler's."""
    if annotations.text(GROUP + "class", KPA_CLASS) != KPA_CLASS:
        fix = "remove it, or take the policy hpa"
        raise annotations.error((GROUP + "class",), f"{annotations.text(GROUP + 'class')} is not the KPA", fix)
    known = {GROUP + spelt: entry for key, entry in _ANNOTATIONS.items() for spelt in (key, _camel(key))}
    values: dict[str, Any] = {}
    for key in annotations.value:
        if key in known:
            name, read = known[key]
            if name in values:
                raise annotations.error((key,), "it is said twice, in two spellings", "keep one")
            values[name] = read(annotations, key)
        elif key.startswith(GROUP) and key != GROUP + "class":
            raise annotations.error((key,), "it is not known", suggestion(key, known, "annotations"))
    return values


def _camel(key: str) -> str:
    first, *rest = key.split("-")
    return first + "".join(word.capitalize() for word in rest)
