"""All methods on one model: what each costs in accuracy and saves in bytes, operations and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workloads.compression.options import CompressOptions
from workloads.compression.pipeline import Progress, check_data, compress_folder, measure_accuracy
from workloads.compression.sizes import flops_per_unit, measure_sizes
from workloads.compression.study_file import StudyFile
from workloads.compression.study_measuring import Variant, measure_latencies, now
from workloads.compression.study_settings import UNCHANGED, StudySettings
from workloads.compression.subject import Subject
from workloads.errors import InputError
from workloads.model_folder import CARD_FILE, SavedModel, load_model, read_card
from workloads.profiler.inputs import InputPool
from workloads.training.devices import usable_device

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData

__all__ = ["run_study"]


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
    usable_device(settings.device)
    card = read_card(folder)
    if data is not None:
        check_data(card, data, str(folder))
    study = StudyFile.in_folder(out)
    if not settings.latency_only:
        for number, method in enumerate((UNCHANGED, *settings.methods)):
            tell(method, number, 1 + len(settings.methods))
            _make(folder, out, method, data, options, study, tell)
    variants = list(_variants(folder, out, settings))
    saved = load_model(folder)
    pool = InputPool(saved.module, saved.config, settings.batch_sizes[-1], np.random.default_rng(options.seed))
    measure_latencies(study, saved.model, "trained", variants, pool, settings, options.seed, tell)
    return study


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
        here = (r for r in study.variants if (r["model"], r["method"], r["size"]) == (row["model"], method, "trained"))
        if not any(r.get("weights") == source["weights_sha256"] and (r["metrics"] or data is None) for r in here):
            study.put_variant({**row, **_unchanged(load_model(folder), data, options, tell)})
        return
    place = out / method
    if _is_made(place, source) and _is_as_asked(read_card(place), options, data is not None):
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


def _is_as_asked(card: Mapping[str, Any], options: CompressOptions, judged: bool) -> bool:
    """Whether a variant was made with these options, as far as its steps record them, and judged if it is to be."""
    wanted = asdict(options)
    recorded = [(name, value) for step in card["variant"]["steps"] for name, value in step.items() if name in wanted]
    return all(wanted[name] == value for name, value in recorded) and bool(card["metrics"] or not judged)


def _variants(folder: Path, out: Path, settings: StudySettings) -> Iterator[Variant]:
    """The source and those of the asked variants that exist and run on the device."""
    source = read_card(folder)
    yield Variant(UNCHANGED, load_model(folder).network, source["weights_sha256"])
    for method in settings.methods:
        place = out / method
        if not _is_made(place, source):
            continue
        card = read_card(place)
        if settings.device in card["variant"].get("devices", [settings.device]):
            yield Variant(method, load_model(place).network, card["weights_sha256"])
