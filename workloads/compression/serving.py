"""Latencies of compressed models at serving size, where matrices are large enough to matter, with random weights.

Time does not hang on the weights' values, so that what needs no training can be timed without any. Such a row says
``serving`` and has no accuracy.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workloads.compression.methods import steps_of
from workloads.compression.options import CompressOptions
from workloads.compression.pipeline import Progress, compress_network
from workloads.compression.sizes import flops_per_unit, measure_sizes
from workloads.compression.study_file import StudyFile
from workloads.compression.study_measuring import Variant, measure_latencies, now
from workloads.compression.study_settings import UNCHANGED, StudySettings
from workloads.compression.subject import Subject
from workloads.errors import InputError
from workloads.model_folder import config_to_dict
from workloads.models import model_module
from workloads.profiler.inputs import InputPool
from workloads.training.devices import usable_device

__all__ = ["study_at_serving_size"]


def study_at_serving_size(
    model: str, out: Path, options: CompressOptions, settings: StudySettings, tell: Progress
) -> StudyFile:
    """Compress a model of its default size with random weights in every way that needs no training, and time it.

    Parameters
    ----------
    model
        Its name in the zoo.
    out
        Gets the file ``study.json``, beside rows of trained models where it is there already.
    options, settings, tell
        As for `run_study`.
    """
    usable_device(settings.device)
    module = model_module(model)
    config = module.default_config()
    study = StudyFile.in_folder(out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = module.build(config).eval().requires_grad_(False)
    card: dict[str, Any] = {"data": {}, "training": {}, "metrics": {}, "sizes": {}, "weights_sha256": ""}
    subject = Subject(model, module, config, network, card, None, options, tell)
    variants = []
    for number, method in enumerate((UNCHANGED, *settings.methods)):
        tell(method, number, 1 + len(settings.methods))
        row = {"model": model, "method": method, "size": "serving", "data": None, "metrics": {}, **now()}
        try:
            made, records, operations = _made(subject, method)
        except InputError as error:
            study.put_variant({**row, "not_applicable": f"{error.problem}; {error.fix}"})
            continue
        sizes = measure_sizes(made.network) | operations
        study.put_variant({**row, "sizes": sizes, "steps": records, "config": config_to_dict(made.config)})
        devices = {device for record in records for device in record.get("devices", ("cpu", "cuda"))}
        if settings.device in devices or not records:
            variants.append(Variant(method, made.network, _fingerprint(config_to_dict(made.config), records)))
    pool = InputPool(module, config, settings.batch_sizes[-1], np.random.default_rng(options.seed))
    measure_latencies(study, model, "serving", variants, pool, settings, options.seed, tell)
    return study


def _made(subject: Subject, method: str) -> tuple[Subject, list[dict[str, Any]], dict[str, int]]:
    if method == UNCHANGED:
        return subject, [], flops_per_unit(subject.module, subject.config, subject.network)
    return compress_network(subject, steps_of(method))


def _fingerprint(config: dict[str, Any], records: list[dict[str, Any]]) -> str:
    """Tells variants apart whose weights are drawn alike."""
    return "random-" + hashlib.sha256(repr((config, records)).encode()).hexdigest()[:16]
