"""From settings to a torch optimiser and its learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from workloads.training.settings import TrainSettings

__all__ = ["embedding_names", "make_optimizer", "make_schedule", "rate_share"]


def embedding_names(network: nn.Module) -> set[str]:
    """Names of the weights of embedding tables, biases by id included."""
    tables = (nn.Embedding, nn.EmbeddingBag)
    held = {id(module.weight) for module in network.modules() if isinstance(module, tables)}
    return {name for name, weight in network.named_parameters() if id(weight) in held}


def make_optimizer(network: nn.Module, settings: TrainSettings) -> Optimizer:
    """The optimiser over three groups: embedding tables, weight matrices, and biases and norms, which never decay."""
    tables = embedding_names(network)
    groups: dict[str, list[nn.Parameter]] = {"tables": [], "matrices": [], "rest": []}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            groups["tables" if name in tables else "matrices" if weight.ndim > 1 else "rest"].append(weight)
    table_lr = settings.lr if settings.embedding_lr is None else settings.embedding_lr
    options = {
        "tables": {"lr": table_lr, "weight_decay": settings.embedding_decay},
        "matrices": {"lr": settings.lr, "weight_decay": settings.weight_decay},
        "rest": {"lr": settings.lr, "weight_decay": 0.0},
    }
    described: list[dict[str, Any]] = [
        {"params": weights, **options[name]} for name, weights in groups.items() if weights
    ]
    match settings.optimizer:
        case "adamw":
            return torch.optim.AdamW(described)
        case "adam":
            return torch.optim.Adam(described)
        case "adagrad":
            return torch.optim.Adagrad(described)
        case _:
            return torch.optim.SGD(described, momentum=settings.momentum)


def make_schedule(optimizer: Optimizer, settings: TrainSettings, steps: int) -> LambdaLR:
    """Warm-up, then decay over `steps` steps; advanced once a step."""
    return LambdaLR(optimizer, rate_share(settings, steps))


def rate_share(settings: TrainSettings, steps: int) -> Callable[[int], float]:
    """Share of the peak rate at a step, counted from 0."""
    warmup, decay = settings.warmup_steps, settings.decay

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if decay == "none":
            return 1.0
        done = min((step - warmup) / max(steps - warmup, 1), 1.0)
        return 0.5 * (1.0 + math.cos(math.pi * done)) if decay == "cosine" else 1.0 - done

    return share
