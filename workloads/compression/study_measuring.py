"""Latencies of a study's variants, in groups, straight into its file."""

from __future__ import annotations

import datetime
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from workloads.compression.pipeline import Progress
from workloads.compression.study_file import StudyFile
from workloads.compression.study_latency import Timings, time_variants
from workloads.compression.study_settings import UNCHANGED, StudySettings
from workloads.profiler.inputs import InputPool
from workloads.profiler.machine import LoadMeter, describe_device
from workloads.profiler.machine import versions as machine_versions

__all__ = ["Variant", "measure_latencies", "now"]

_TOGETHER = 6
"""Variants that take turns with one another and the unchanged model; what they gave is kept before the next group."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A network to be timed: its method, and what tells it from an earlier one of the same method."""

    method: str
    network: nn.Module
    weights: str


def measure_latencies(
    study: StudyFile,
    model: str,
    size: str,
    variants: list[Variant],
    pool: InputPool,
    settings: StudySettings,
    seed: int,
    tell: Progress,
) -> None:
    """Time variants in every mode and put the rows into the study; those that are there are left out.

    The unchanged model is timed again with every group of variants, so that each is compared with what ran beside it.
    """
    threads = settings.host_threads()
    torch.set_num_threads(threads)
    device = describe_device(settings.device, threads)
    kind = {"model": model, "size": size, "device": device["id"], "device_name": device["name"], "threads": threads}
    for variant in variants:
        variant.network.to(settings.device)
    deadline_s = time.monotonic() + settings.budget_s if settings.budget_s else float("inf")
    for mode in settings.all_modes():
        this = {**kind, "mode": mode}
        for group in _groups(variants, [v for v in variants if not _is_measured(study, v, this, settings)]):
            if time.monotonic() > deadline_s:
                return
            meter = LoadMeter()
            networks = {variant.method: variant.network for variant in group}
            generator = np.random.default_rng([seed, *mode.encode()])
            found = time_variants(networks, pool, settings, mode, generator, tell)
            study.put_latencies(_rows(found, group, {**this, "other_load_cores": meter.other_cores(), **now()}))
            gc.collect()
            if settings.device == "cuda":
                torch.cuda.empty_cache()


def _groups(variants: list[Variant], missing: list[Variant]) -> Iterator[list[Variant]]:
    """What is missing, a few at a time, each group with the unchanged model."""
    whole = [variant for variant in variants if variant.method == UNCHANGED]
    for first in range(0, len(missing), _TOGETHER):
        group = missing[first : first + _TOGETHER]
        yield group if any(variant in whole for variant in group) else whole + group


def _is_measured(study: StudyFile, variant: Variant, kind: dict[str, Any], settings: StudySettings) -> bool:
    key = {**kind, "method": variant.method, "weights": variant.weights}
    return all(study.has_latency(**key, batch=batch) for batch in settings.batch_sizes)


def _rows(found: list[Timings], group: list[Variant], about: dict[str, Any]) -> list[dict[str, Any]]:
    weights = {variant.method: variant.weights for variant in group}
    whole = {timings.batch: timings.row().get("p50_s") for timings in found if timings.method == UNCHANGED}
    return [
        {
            **about,
            "method": timings.method,
            "weights": weights[timings.method],
            **timings.row(),
            "unchanged_p50_s": whole.get(timings.batch),
        }
        for timings in found
    ]


def now() -> dict[str, Any]:
    """Versions and the time, for a row."""
    return {"versions": machine_versions(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
