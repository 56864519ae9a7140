"""The models on made-up data, small enough to be trained within a test; needs torch."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from workloads.interactions.prepared import PreparedData
from workloads.interactions.rows import Rows
from workloads.interactions.synthetic import synthetic_data
from workloads.models import model_module
from workloads.models.base import ModelModule

__all__ = ["SMALL", "all_training_rows", "arrays_to_tensors", "made_up", "outputs_of", "small", "train"]

SMALL: dict[str, dict[str, Any]] = {
    "biased_mf": {"dim": 8},
    "two_tower": {"dim": 8, "hidden": (16,), "item_hidden": (12,), "history_length": 8},
    "lstm_two_tower": {"dim": 8, "hidden": 12, "item_hidden": 10, "history_length": 8, "audience_length": 6},
    "autoencoder": {"hidden": 16, "latent": 6, "decoder_hidden": (14,), "history_length": 40},
    "sasrec": {"width": 16, "heads": 2, "head_dim": 8, "feed_forward": 24, "history_length": 8, "reach": 30},
    "bert4rec": {"width": 16, "heads": 2, "head_dim": 8, "feed_forward": 24, "length": 9, "reach": 30},
    "neumf": {"product_dim": 4, "layer_dim": 8, "hidden": (16, 8), "out": 6},
    "dlrm": {"dim": 8, "bottom": (16,), "top": (32, 16), "history_length": 6},
    "bert_reranker": {
        "width": 16, "layers": 1, "heads": 2, "head_dim": 8, "feed_forward": 24, "sequence_length": 28,
        "user_tokens": 12, "audience": 4,
    },
}  # fmt: skip
"""Overrides of ``config_for`` by model."""


@cache
def made_up() -> PreparedData:
    """The made-up data of all these tests."""
    return synthetic_data(users=60, items=40, rows=1600, seed=3)


def small(name: str, **overrides: Any) -> tuple[ModelModule, Any, Any]:
    """Module, configuration and network (drawn from seed 0) of a model at test size."""
    module = model_module(name)
    config = module.config_for(made_up(), **(SMALL[name] | overrides))
    torch.manual_seed(0)
    return module, config, module.build(config)


def all_training_rows(module: ModelModule) -> Rows:
    """Every training example in the model's unit."""
    data = made_up()
    if module.TRAINING_UNIT == "users":
        return Rows.of_users(data, np.unique(data.train.user), "train")
    return Rows.of_interactions(data, "train", np.arange(len(data.train)))


def arrays_to_tensors(arrays: tuple[np.ndarray, ...]) -> tuple[torch.Tensor, ...]:
    """Copies of arrays."""
    return tuple(torch.from_numpy(np.array(array)) for array in arrays)


def outputs_of(module: ModelModule, config: Any, network: Any, rows: Rows) -> torch.Tensor:
    """``score[row]`` or ``scores[row, item]`` in evaluation mode."""
    network.eval()
    inputs = arrays_to_tensors(module.inputs(rows, config))
    with torch.no_grad():
        found: torch.Tensor = network.score(*inputs) if module.UNIT == "items" else network.scores(*inputs)
    return found


def train(module: ModelModule, config: Any, network: Any, steps: int, lr: float = 3e-3, seed: int = 0) -> list[float]:
    """Losses of some steps of AdamW over random batches."""
    rows, generator = all_training_rows(module), np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=lr)
    torch.manual_seed(seed)
    network.train()
    losses = []
    for _ in range(steps):
        batch = rows[generator.choice(len(rows), min(128, len(rows)), replace=False)]
        loss = network.loss(*arrays_to_tensors(module.training_batch(batch, config, generator)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses
