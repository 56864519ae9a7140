"""A compressed model with random weights at any size: for latencies, which do not hang on the weights' values."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from workloads.models import model_module
from workloads.profiler.settings import ProfileSettings
from workloads.profiler.timing import Progress

__all__ = ["drawn_variant"]


def drawn_variant(settings: ProfileSettings, folder: Path, progress: Progress, reuse: bool) -> Path:
    """Draw a model, compress it without data, and return the variant's model folder.

    Parameters
    ----------
    settings
        Model, seed, method, and sizes where they are the caller's own.
    folder
        Where the variant is written.
    progress
        Told of the phases.
    reuse
        Take a variant that lies there already.

    Raises
    ------
    InputError
        An unknown method, one that needs data, or one that does not apply to the model.
    """
    from workloads.compression import compress
    from workloads.model_folder import CARD_FILE, save_model

    out = folder / f"{settings.model}-{settings.method.replace('+', '-')}-seed{settings.seed}"
    if (out / CARD_FILE).is_file() and (reuse or settings.config is None):
        return out
    module = model_module(settings.model)
    config = settings.config if settings.config is not None else module.default_config()
    progress("drawing weights", 0, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = module.build(config).eval()
    source = folder / f"{settings.model}-whole"
    save_model(source, model=settings.model, config=config, network=network, card={})
    del network
    progress("compressing", 0, 1)
    compress(source, settings.method, out)
    shutil.rmtree(source)
    return out
