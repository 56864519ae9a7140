"""How a model is trained: optimiser, schedule, batches, when to stop. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from workloads.errors import InputError

__all__ = ["METRICS_TO_STOP_BY", "TrainSettings"]

OPTIMIZERS = ("adamw", "adam", "adagrad", "sgd")
DECAYS = ("cosine", "linear", "none")
PRECISIONS = ("fp32", "bf16")
METRICS_TO_STOP_BY = {"rmse": False, "auc": True, "ndcg10": True, "recall10": True}
"""Validation metric to whether higher is better."""


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one training run.

    Attributes
    ----------
    optimizer
        ``adamw`` (decoupled weight decay), ``adam``, ``adagrad`` or ``sgd`` (with `momentum`); in the last three,
        decay is added to the gradient.
    lr, embedding_lr
        Peak learning rate of layers, and of embedding tables where it differs.
    weight_decay, embedding_decay
        Decay of weight matrices, and of embedding tables (biases by id included); biases and norms have none.
    warmup_steps, decay
        Linear warm-up, then the rate falls to zero at the end of `epochs` (``cosine``, ``linear``) or stays (``none``).
    batch_size
        Rows of a global batch, over all processes and micro-batches.
    accumulate
        Micro-batches that each process takes before gradients are synchronised and a step is made.
    epochs
        At most so many passes over the training part.
    patience
        Stop after so many epochs without a better `metric` on the validation part; 0 never stops early.
    metric
        What the validation part is judged by: ``rmse``, ``auc``, ``ndcg10`` or ``recall10``.
    ranking_users
        Rankings, on the validation part and on the test part, are of a seeded sample of so many users; 0 takes all.
    refit
        Then train afresh on training and validation part together, for the number of epochs found best.
    clip_norm
        Largest norm of the gradient over all weights; 0 does not clip.
    dropout
        Overrides the configuration's dropout; None keeps it.
    seed
        Of initial weights, order, dropout and negatives.
    device, precision
        ``cpu`` or ``cuda``; ``fp32``, or ``bf16`` for autocast in training, with weights in fp32. Judging is in fp32:
        at bf16's eight bits many items of a ranking would tie.
    processes
        Data-parallel processes (gloo on CPUs, NCCL with one GPU each).
    checkpoint_every
        Steps between checkpoints; 0 writes one after each epoch.
    """

    optimizer: str = "adamw"
    lr: float = 1e-3
    embedding_lr: float | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    embedding_decay: float = 0.0
    warmup_steps: int = 0
    decay: str = "cosine"
    batch_size: int = 1024
    accumulate: int = 1
    epochs: int = 30
    patience: int = 3
    metric: str = "auc"
    ranking_users: int = 0
    refit: bool = True
    clip_norm: float = 0.0
    dropout: float | None = None
    seed: int = 20_261
    device: str = "cpu"
    precision: str = "fp32"
    processes: int = 1
    checkpoint_every: int = 0

    def __post_init__(self) -> None:
        _one_of("--optimizer", self.optimizer, OPTIMIZERS)
        _one_of("--decay", self.decay, DECAYS)
        _one_of("--precision", self.precision, PRECISIONS)
        _one_of("--metric", self.metric, tuple(METRICS_TO_STOP_BY))
        _one_of("--device", self.device.partition(":")[0], ("cpu", "cuda"))
        for name in ("batch_size", "accumulate", "epochs", "processes"):
            _at_least(name, getattr(self, name), 1)
        for name in ("warmup_steps", "patience", "ranking_users", "checkpoint_every", "seed"):
            _at_least(name, getattr(self, name), 0)
        for name in ("momentum", "weight_decay", "embedding_decay", "clip_norm"):
            _at_least(name, getattr(self, name), 0.0)
        for name in ("lr", "embedding_lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise InputError(_option(name), f"{value} is no learning rate", "give a positive number, as in 0.001")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise InputError("--dropout", f"{self.dropout} is not in [0, 1)", "give a share, as in 0.1")
        if self.batch_size < self.shards:
            problem = f"{self.batch_size} rows cannot be cut into {self.processes} x {self.accumulate} micro-batches"
            raise InputError("--batch-size", problem, "give a larger batch, fewer processes or less accumulation")

    @property
    def shards(self) -> int:
        """Micro-batches of a global batch, over processes and accumulation."""
        return self.processes * self.accumulate

    @property
    def higher_is_better(self) -> bool:
        """Whether `metric` is to rise."""
        return METRICS_TO_STOP_BY[self.metric]

    def is_better(self, value: float, best: float | None) -> bool:
        """Whether a validation value beats the best so far."""
        if best is None:
            return True
        return value > best if self.higher_is_better else value < best

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainSettings:
        """Settings from what `as_dict` gave; fields that are unknown are an error.

        Raises
        ------
        InputError
            An unknown field.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError("training settings", f"have unknown fields {unknown}", "train again from the start")
        return cls(**values)

    def with_(self, **changes: Any) -> TrainSettings:
        """A copy with some fields changed; None leaves a field as it is."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(option, f"{value!r} is not known", f"use one of {', '.join(known)}")


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < float("inf"):
        raise InputError(_option(name), f"{value} is below {least} or not finite", f"give at least {least}")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
