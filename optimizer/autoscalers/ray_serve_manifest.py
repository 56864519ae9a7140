"""Settings of deployments from a Ray Serve config file, as ``serve build`` writes it and ``serve deploy`` reads it."""

from __future__ import annotations

from typing import Any

from optimizer.autoscalers.manifests import Section, read_manifest
from optimizer.autoscalers.ray_serve_settings import ServeSettings
from workloads.errors import InputError

__all__ = ["for_stages", "read_deployments"]

_SAME_NAME = (
    "min_replicas",
    "max_replicas",
    "initial_replicas",
    "target_ongoing_requests",
    "upscaling_factor",
    "downscaling_factor",
    "upscale_delay_s",
    "downscale_delay_s",
    "downscale_to_zero_delay_s",
    "metrics_interval_s",
    "look_back_period_s",
    "aggregation_function",
)
_OLDER = {
    "upscaling_factor": ("upscale_smoothing_factor", "smoothing_factor"),
    "downscaling_factor": ("downscale_smoothing_factor", "smoothing_factor"),
}
"""Deprecated names of a factor, the one that counts first."""
_PLAIN = {"min_replicas": 1, "max_replicas": 1}
"""Defaults of an ``autoscaling_config`` without ``num_replicas: auto``."""


def read_deployments(path: str) -> dict[str, ServeSettings]:
    """Settings by deployment name.

    Raises
    ------
    InputError
        If a deployment asks for something that is not modelled, or two have the same name.
    """
    whole = read_manifest(path)
    if whole.has("kind"):
        fix = "give the text of its spec.serveConfigV2 in a file of its own"
        raise whole.error(("kind",), f"a {whole.text('kind')} of Kubernetes is not a Serve config file", fix)
    applications = whole.sections("applications")
    found: dict[str, ServeSettings] = {}
    for application in applications or [whole]:
        application.refuse(("autoscaling_policy",), "is code of the application's own", "take it out")
        for deployment in application.sections("deployments"):
            name = deployment.text("name")
            if name in found:
                raise deployment.error(("name",), f"a deployment {name!r} has been read already", "keep one of them")
            found[name] = _settings(deployment)
    if not found:
        raise whole.error((), "there is no deployment", "give applications[].deployments[] with a name")
    return found


def _settings(deployment: Section) -> ServeSettings:
    replicas = deployment.value.get("num_replicas")
    has_config = deployment.has("autoscaling_config")
    if replicas not in (None, "auto"):
        if has_config:
            raise deployment.error(("num_replicas",), f"{replicas!r} beside autoscaling_config", "keep one of them")
        fixed = deployment.whole("num_replicas")
        if fixed == 0:
            raise deployment.error(("num_replicas",), "0 replicas serve nothing", "give at least 1, or auto")
        return _made(deployment, {"min_replicas": fixed, "max_replicas": fixed})
    if not has_config and replicas is None:
        return _made(deployment, dict(_PLAIN))
    config = deployment.section("autoscaling_config")
    config.refuse(("policy",), "is a policy of its own, which is not modelled", "remove it")
    older = [name for names in _OLDER.values() for name in names]
    config.refuse_unknown([*_SAME_NAME, *older])
    values: dict[str, Any] = {} if replicas == "auto" else dict(_PLAIN)
    for name in _SAME_NAME:
        spelt = next((key for key in (name, *_OLDER.get(name, ())) if config.has(key)), None)
        if spelt is not None:
            values[name] = config.value[spelt]
    gangs = deployment.section("gang_scheduling_config")
    if gangs.has("gang_size"):
        values["gang_size"] = gangs.whole("gang_size")
    return _made(config, values)


def _made(section: Section, values: dict[str, Any]) -> ServeSettings:
    try:
        return ServeSettings(**values)
    except InputError as error:
        raise section.error((error.where,), f"{error.where}: {error.problem}", error.fix) from None


def for_stages(deployments: dict[str, ServeSettings], stages: tuple[str, ...], path: str) -> list[ServeSettings]:
    """The settings for each stage: those of the only deployment, or of the one that is named like the stage.

    A stage ``shop/rank`` is named like ``rank``, ``shop-rank``, ``shop_rank`` and ``shop/rank``, in capitals or not;
    ``rank`` counts where no deployment has the longer name.

    Raises
    ------
    InputError
        If several deployments are there and none is named like a stage.
    """
    if len(deployments) == 1:
        return list(deployments.values()) * len(stages)
    by_name = {_bare(name): settings for name, settings in deployments.items()}
    found = []
    for stage in stages:
        names = [name for name in (_bare(stage), _bare(stage.rpartition("/")[2])) if name in by_name]
        if not names:
            known = ", ".join(deployments)
            raise InputError(f"{path} deployments", f"none is named like stage {stage}: {known}", "rename one of them")
        found.append(by_name[names[0]])
    return found


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
