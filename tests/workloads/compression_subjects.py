"""Small networks of every model, ready to be compressed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from workloads.compression.channels import Group, groups_of
from workloads.compression.options import CompressOptions
from workloads.compression.subject import Subject
from workloads.interactions.synthetic import synthetic_data
from workloads.models import model_module

__all__ = ["DATA", "SMALLER", "all_groups", "outputs_of", "subject_of"]

DATA = synthetic_data(users=30, items=25, rows=500)
SMALLER: dict[str, dict[str, Any]] = {
    "dlrm": {"bottom": (32, 16), "top": (64, 48, 32), "dim": 8},
    "sasrec": {"width": 16, "heads": 4, "head_dim": 8, "feed_forward": 64, "history_length": 6, "layers": 2},
    "bert4rec": {"width": 16, "heads": 2, "head_dim": 16, "feed_forward": 64, "length": 6, "layers": 1},
    "bert_reranker": {"width": 16, "heads": 2, "head_dim": 8, "feed_forward": 64, "layers": 1},
    "lstm_two_tower": {"dim": 8, "hidden": 24, "item_hidden": 16, "history_length": 5, "audience_length": 4},
    "two_tower": {"dim": 8, "hidden": (32, 16), "item_hidden": (16,), "history_length": 5},
    "autoencoder": {"hidden": 16, "latent": 8, "decoder_hidden": (24,), "history_length": 8},
    "neumf": {"product_dim": 8, "layer_dim": 8, "hidden": (32, 16), "out": 8},
    "biased_mf": {"dim": 8},
}


def subject_of(name: str, data: Any = DATA, seed: int = 0, **options: Any) -> Subject:
    module = model_module(name)
    config = module.config_for(DATA, **SMALLER[name])
    torch.manual_seed(seed)
    network = module.build(config).eval()
    with torch.no_grad():
        for weight in network.parameters():  # some start near zero, where nothing would make a difference
            weight.add_(torch.randn(weight.shape) * 0.2)
    options = {"importance_batches": 1, **options}
    card = {"data": {}, "training": {}, "metrics": {}, "sizes": {}, "weights_sha256": "0" * 64}
    return Subject(name, module, config, network, card, data, CompressOptions(**options), lambda *_: None)


def outputs_of(subject: Subject, network: nn.Module, rows: int = 5) -> torch.Tensor:
    inputs = subject.module.example_inputs(subject.config, rows, np.random.default_rng(1))
    with torch.no_grad():
        found = network(*(torch.from_numpy(np.array(array)) for array in inputs))
    return found[0] if isinstance(found, tuple) else found


def all_groups(subject: Subject) -> list[Group]:
    return [group for part in groups_of(subject.module, subject.network).values() for group in part]
