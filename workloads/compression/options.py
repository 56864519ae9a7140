"""How much to compress, and how long to train afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from workloads.errors import InputError

__all__ = ["STUDENTS", "CompressOptions"]

STUDENTS = {"half": 0.5, "quarter": 0.25}
"""Share of the teacher's widths that a student keeps."""


@dataclass(frozen=True)
class CompressOptions:
    """Settings of all methods; each reads its own.

    Attributes
    ----------
    amount
        ``magnitude``: share of the weights that become zero.
    include_embeddings
        ``magnitude``: prune id tables too.
    ratio
        ``structured``: share of the parameters of the prunable parts to remove.
    rank_share
        ``low-rank``: parameters of a factorised layer over the whole layer's.
    rows_per_vector
        ``hashed``: ids that share a row of the large one of the two tables.
    student
        ``distil``: ``half`` or ``quarter`` of the teacher's widths.
    teacher_weight, temperature
        ``distil``: weight of the teacher's scores against the labels, 0 to 1; softening of its scores.
    finetune_epochs
        Most epochs of training after pruning or factorising; 0 for none, None for a third of the source's.
    finetune_lr_share
        Learning rate of that training over the recipe's.
    train_epochs
        Most epochs of methods that train a model anew; 0 for the recipe's own.
    importance_batches
        ``structured``: batches of training data from which importance is estimated; 0 for weight norms.
    min_table_rows
        ``hashed``: smaller tables stay as they are.
    ranking_users
        Users for whom items are ranked when accuracy is measured, 0 for all; None for as many as the source's recipe
        says.
    device
        Where training and evaluation run.
    seed
        Seed of everything random.
    """

    amount: float = 0.7
    include_embeddings: bool = False
    ratio: float = 0.7
    rank_share: float = 0.5
    rows_per_vector: int = 8
    student: str = "half"
    teacher_weight: float = 0.5
    temperature: float = 2.0
    finetune_epochs: int | None = None
    finetune_lr_share: float = 0.3
    train_epochs: int = 0
    importance_batches: int = 8
    min_table_rows: int = 1000
    ranking_users: int | None = None
    device: str = "cpu"
    seed: int = 20_261

    def __post_init__(self) -> None:
        for name in ("amount", "ratio", "rank_share"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(_flag(name), f"{getattr(self, name):g} is not between 0 and 1", "give a share as 0.7")
        if not 0 <= self.teacher_weight <= 1:
            raise InputError("--teacher-weight", f"{self.teacher_weight:g} is not from 0 to 1", "give a weight as 0.5")
        for name in ("temperature", "finetune_lr_share"):
            if not getattr(self, name) > 0:
                raise InputError(_flag(name), f"{getattr(self, name):g} is not above 0", "give a positive number")
        if self.rows_per_vector < 2:
            raise InputError("--rows-per-vector", f"{self.rows_per_vector} shares nothing", "give 2 or more")
        if self.student not in STUDENTS:
            raise InputError("--student", f"{self.student!r} is not known", f"use one of {', '.join(STUDENTS)}")
        for name in ("train_epochs", "importance_batches", "min_table_rows"):
            if getattr(self, name) < 0:
                raise InputError(_flag(name), f"{getattr(self, name)} is negative", "give 0 or more")

        for name in ("finetune_epochs", "ranking_users"):
            if (getattr(self, name) or 0) < 0:
                raise InputError(_flag(name), f"{getattr(self, name)} is negative", "give 0 or more")

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> CompressOptions:
        """Options from keyword arguments.

        Raises
        ------
        InputError
            An option that no method has.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError("compress", f"has no options {unknown}", f"use {', '.join(sorted(known))}")
        return cls(**values)

    def pick(self, *names: str) -> dict[str, Any]:
        """The named options, as a step records them."""
        values = asdict(self)
        return {name: values[name] for name in names}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
