"""Accuracy asked of a stage, checked against what its variants' profiles state."""

from __future__ import annotations

import math
from dataclasses import replace

from simulator.scenario_funnel import AccuracyFile
from simulator.scenario_reading import Place, Reading
from simulator.service import Stage, StageAccuracy, Variant
from workloads.errors import InputError

__all__ = ["with_accuracy"]

POINT = 0.01
"""What one point of a metric is, in its own unit."""


def with_accuracy(reading: Reading, place: Place, stage: Stage, file: AccuracyFile) -> Stage:
    """The stage with each variant's accuracy, and what is asked of it.

    Parameters
    ----------
    place
        Of the stage in the file.

    Raises
    ------
    InputError
        A variant's profile does not state the metric, or on other data than the first's; or no variant reaches the
        floor.
    """
    variants: list[Variant] = []
    for j, variant in enumerate(stage.variants):
        where = reading.where(*place, "variants", j, "profile")
        variants.append(replace(variant, accuracy=_stated(where, variant, file.metric)))
        _refuse_other_data(where, file.metric, stage.variants[0], variant)
    best = max(variants, key=lambda v: v.accuracy)
    if file.floor is not None and file.floor > best.accuracy:
        raise InputError(
            reading.where(*place, "accuracy", "floor"),
            f"{file.floor:g} is above the {file.metric} of every variant; the best is {best.name} "
            f"with {best.accuracy:.4g}",
            "lower the floor or give a more accurate variant",
        )
    asked = StageAccuracy(
        metric=file.metric,
        data=_evaluated_on(variants[0]),
        floor=-math.inf if file.floor is None else file.floor,
        lost_usd=file.usd_per_point_per_million / 1e6 / POINT,
    )
    return replace(stage, variants=tuple(variants), accuracy=asked)


def _stated(where: str, variant: Variant, metric: str) -> float:
    """The metric of a variant's profile."""
    stated = variant.profile.accuracy
    value = stated.get(metric)
    if value is not None and math.isfinite(value):
        return float(value)
    known = f"it has {', '.join(sorted(stated))}" if stated else "it states none (its weights are not trained)"
    raise InputError(
        where,
        f"profile '{variant.profile.name}' states no {metric}: {known}",
        "profile a trained model, name another metric, or leave the stage's accuracy out",
    )


def _evaluated_on(variant: Variant) -> str:
    """Data set, split and part that a profile's accuracy is of."""
    profile = variant.profile
    told = (profile.document or {}).get("accuracy") or {}
    split = f", split by {told['split']}" if told.get("split") else ""
    return f"{profile.accuracy_data or 'unnamed data'}{split}, {told.get('part', 'test')} part"


def _refuse_other_data(where: str, metric: str, first: Variant, variant: Variant) -> None:
    """Metrics on different data or splits are not comparable."""
    one, other = _evaluated_on(first), _evaluated_on(variant)
    if one == other:
        return
    raise InputError(
        where,
        f"its {metric} is of {other}, that of profile '{first.profile.name}' of {one}: they cannot be compared",
        "use variants that were evaluated on the same data and split",
    )
