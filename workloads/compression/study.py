"""All methods on one model: what each costs in accuracy and saves in bytes, operations and time."""

from __future__ import annotations

import datetime
import gc
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from workloads.compression.methods import METHODS
from workloads.compression.options import CompressOptions
from workloads.compression.pipeline import Progress, compress_folder, measure_accuracy
from workloads.compression.sizes import flops_per_unit, measure_sizes
from workloads.compression.study_file import STUDY_FILE, StudyFile
from workloads.compression.study_latency import time_variants
from workloads.compression.subject import Subject
from workloads.errors import InputError
from workloads.model_folder import CARD_FILE, SavedModel, load_model, read_card
from workloads.profiler.inputs import InputPool
from workloads.profiler.machine import LoadMeter, describe_device
from workloads.profiler.machine import versions as machine_versions
from workloads.profiler.settings import MODES

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["COMBINATIONS", "UNCHANGED", "StudySettings", "Variant", "measure_latencies", "now", "run_study"]

COMBINATIONS = (
    "structured+int8-dynamic",
    "structured+bf16",
    "magnitude+int8-dynamic",
    "bf16+embedding-int8",
)
_CPU_MODES = ("eager", "compiled")
_TOGETHER = 6
"""Variants that take turns with one another and the unchanged model; what they gave is kept before the next group."""
UNCHANGED = "none"
"""Stands for the model as it was trained."""


@dataclass(frozen=True)
class StudySettings:
    """What to compare, and how long to look.

    Attributes
    ----------
    methods
        Methods and combinations; the unchanged model is always among what is measured.
    device, modes
        Where latencies are measured, ``cpu`` or ``cuda``, and how; no modes for all that the device has.
    batch_sizes
        Rising.
    timing_s
        Time for the timings of one variant, mode and batch size.
    threads
        Threads of one operator on the host; 0 for every core on a CPU, and for one beside a GPU.
    latency_only
        Measure variants that are there already, and make none.
    budget_s
        Start no further measurement after so many seconds; what is missing is measured by the next run. 0 for no
        limit.
    """

    methods: tuple[str, ...] = METHODS + COMBINATIONS
    device: str = "cpu"
    modes: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    timing_s: float = 2.0
    threads: int = 0
    latency_only: bool = False
    budget_s: float = 0.0

    def __post_init__(self) -> None:
        for mode in self.modes:
            allowed = _CPU_MODES if self.device == "cpu" else MODES
            if mode not in allowed:
                raise InputError("--modes", f"{mode!r} is not one of {self.device}", f"use {', '.join(allowed)}")
        if not self.timing_s > 0:
            raise InputError("--timing-s", f"{self.timing_s:g} is no time", "give a number of seconds above 0")
        rising = all(a < b for a, b in zip(self.batch_sizes, self.batch_sizes[1:]))
        if not self.batch_sizes or self.batch_sizes[0] < 1 or not rising:
            problem = f"{list(self.batch_sizes)} are not rising whole numbers from 1 up"
            raise InputError("--sizes", problem, "write them as 1,8,32")

    def all_modes(self) -> tuple[str, ...]:
        """The modes to measure."""
        return self.modes or (_CPU_MODES if self.device == "cpu" else MODES)


@dataclass(frozen=True, eq=False)
class Variant:
    """A network to be timed: its method, and what tells it from an earlier one of the same method."""

    method: str
    network: nn.Module
    weights: str


def run_study(
    folder: Path,
    out: Path,
    data: PreparedData | None,
    options: CompressOptions,
    settings: StudySettings,
    tell: Progress,
) -> StudyFile:
    """Make all variants that are missing, measure their accuracy, sizes and latencies, and keep it all in one file.

    Parameters
    ----------
    folder
        The trained model.
    out
        Gets a folder for each variant, and the file ``study.json``. A study that was interrupted goes on there.
    data, options
        As for `workloads.compression.compress`.
    settings
        What to compare.
    tell
        Called with a phase's name, and how much of it is done out of how much.

    Raises
    ------
    InputError
        A method that is unknown, or data that the model was not trained on; methods that do not apply are recorded.
    """
    from workloads.compression.methods import steps_of

    for method in settings.methods:
        steps_of(method)
    out.mkdir(parents=True, exist_ok=True)
    study = StudyFile.open(out / STUDY_FILE)
    if not settings.latency_only:
        for number, method in enumerate((UNCHANGED, *settings.methods)):
            tell(method, number, 1 + len(settings.methods))
            _make(folder, out, method, data, options, study, tell)
    variants = list(_variants(folder, out, settings))
    saved = load_model(folder)
    pool = InputPool(saved.module, saved.config, settings.batch_sizes[-1], np.random.default_rng(options.seed))
    measure_latencies(study, saved.model, "trained", variants, pool, settings, options.seed, tell)
    return study


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
    threads = settings.threads or (len(os.sched_getaffinity(0)) if settings.device == "cpu" else 1)
    torch.set_num_threads(threads)
    device = describe_device(settings.device, threads)
    device_part = {"device": device["id"], "device_name": device["name"], "threads": threads}
    kind = {"model": model, "size": size, **device_part}
    placed = {v.method: v.network.to(settings.device) for v in variants}
    weights = {v.method: v.weights for v in variants}
    deadline_s = time.monotonic() + settings.budget_s if settings.budget_s else float("inf")
    for mode in settings.all_modes():
        missing = [
            method
            for method in placed
            if not all(
                study.has_latency(**kind, method=method, mode=mode, batch=batch, weights=weights[method])
                for batch in settings.batch_sizes
            )
        ]
        for first in range(0, len(missing), _TOGETHER):
            if time.monotonic() > deadline_s:
                return
            group = missing[first : first + _TOGETHER]
            if UNCHANGED in placed and UNCHANGED not in group:
                group = [UNCHANGED, *group]
            networks = {method: placed[method] for method in group}
            meter = LoadMeter()
            found = time_variants(
                networks,
                pool,
                settings.batch_sizes,
                mode,
                settings.device,
                settings.timing_s,
                _generator(seed, mode),
                tell,
            )
            about = {**kind, "mode": mode, "other_load_cores": meter.other_cores(), **now()}
            rows = [{**about, "method": t.method, "weights": weights[t.method], **t.row()} for t in found]
            whole = {row["batch"]: row.get("p50_s") for row in rows if row["method"] == UNCHANGED}
            study.put_latencies({**row, "unchanged_p50_s": whole.get(row["batch"])} for row in rows)
            gc.collect()
            if settings.device == "cuda":
                torch.cuda.empty_cache()


def _make(
    folder: Path,
    out: Path,
    method: str,
    data: PreparedData | None,
    options: CompressOptions,
    study: StudyFile,
    tell: Progress,
) -> None:
    """Make one variant unless it is there, and put its row into the study."""
    source = read_card(folder)
    row = {"model": source["model"], "method": method, "size": "trained", "data": source["data"].get("name")}
    if method == UNCHANGED:
        if not any(r["method"] == method and r.get("weights") == source["weights_sha256"] for r in study.variants):
            study.put_variant({**row, **_unchanged(load_model(folder), data, options, tell)})
        return
    place = out / method
    if _is_made(place, source):
        card = read_card(place)
    else:
        try:
            card = compress_folder(folder, method, place, data, options, tell)
        except InputError as error:
            study.put_variant({**row, "not_applicable": f"{error.problem}; {error.fix}", **now()})
            return
    study.put_variant(
        {
            **row,
            "sizes": card["sizes"],
            "metrics": card["metrics"],
            "steps": card["variant"]["steps"],
            "weights": card["weights_sha256"],
            "versions": card["versions"],
            "date": card["date"],
        }
    )


def _unchanged(
    saved: SavedModel, data: PreparedData | None, options: CompressOptions, tell: Progress
) -> dict[str, Any]:
    """The source's own row, measured like the others."""
    subject = Subject(saved.model, saved.module, saved.config, saved.network, saved.card, data, options, tell)
    sizes = measure_sizes(saved.network) | flops_per_unit(saved.module, saved.config, saved.network)
    return {
        "sizes": saved.card["sizes"] | sizes,
        "metrics": measure_accuracy(subject, options.device),
        "steps": [],
        "weights": saved.card["weights_sha256"],
        **now(),
    }


def _is_made(place: Path, source: Mapping[str, Any]) -> bool:
    """Whether a folder holds a variant of this very source."""
    if not (place / CARD_FILE).is_file():
        return False
    variant = read_card(place)["variant"] or {}
    return variant.get("of_sha256") == source["weights_sha256"]


def _variants(folder: Path, out: Path, settings: StudySettings) -> list[Variant]:
    """The source and those of the asked variants that exist and run on the device."""
    source = read_card(folder)
    found = [Variant(UNCHANGED, load_model(folder).network, source["weights_sha256"])]
    for method in settings.methods:
        place = out / method
        if not _is_made(place, source):
            continue
        card = read_card(place)
        if settings.device in card["variant"].get("devices", [settings.device]):
            found.append(Variant(method, load_model(place).network, card["weights_sha256"]))
    return found


def _generator(seed: int, mode: str) -> np.random.Generator:
    return np.random.default_rng([seed, *mode.encode()])


def now() -> dict[str, Any]:
    """Versions and the time, for a row."""
    return {"versions": machine_versions(), "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")}
