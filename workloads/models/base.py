"""What every model module offers, so that profiling, training and compression need to know none of them."""

from __future__ import annotations

import difflib
import numbers
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from workloads.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from workloads.interactions.prepared import PreparedData
    from workloads.interactions.rows import Rows

__all__ = ["OBJECTIVES", "ModelConfig", "ModelModule", "Prunable", "with_overrides"]

OBJECTIVES = ("rating", "click")
"""What a pointwise model learns: the rating as a share of its scale, or whether the item is liked."""

C = TypeVar("C")


@dataclass(frozen=True)
class Prunable:
    """A part of a network whose inner channels can be removed.

    Attributes
    ----------
    path
        Attribute of the network that holds the part, as ``top``.
    kind
        ``mlp``: a `layers.Mlp`, whose widths between first and last may shrink. ``encoder``: a `transformer.Encoder`,
        which may lose heads and feed-forward channels, the same number in every layer. ``lstm``: a
        `recurrent.LstmReader`, which may lose hidden units.
    fields
        Fields of the configuration that express the result: for an mlp its tuple of inner widths, for an encoder
        ``("heads", "feed_forward")``, for an lstm its width.
    """

    path: str
    kind: str
    fields: tuple[str, ...]


class ModelConfig(Protocol):
    """A frozen dataclass of sizes, which knows its own weight counts."""

    def parameter_count(self) -> int:
        """Numbers in all weights and stored vectors."""

    def embedding_count(self) -> int:
        """Numbers in the tables that are looked up by id, a part of `parameter_count`."""


class ModelModule(Protocol):
    """A module of this package, seen as an object.

    The network that `build` gives has, beside ``forward``, ``loss(*training_batch)``, a mean over rows;
    ``score(*inputs)`` for ``score[row]`` where `UNIT` is ``items``; ``scores(*inputs)`` for ``scores[row, item]`` over
    the whole item table, column 0 without meaning, where it is ``requests``; and ``predicts_rating``, which says
    whether those are ratings as a share of their scale.
    """

    STAGE: str
    UNIT: str
    INPUTS: str
    TRAINING_UNIT: str
    PRUNABLE: tuple[Prunable, ...]

    def default_config(self) -> Any:
        """The size of a serving system, at which profiles are measured."""

    def config_for(self, data: PreparedData, **overrides: Any) -> Any:
        """The same architecture with tables as the data needs; ``overrides`` set fields by name."""

    def build(self, config: Any) -> nn.Module:
        """The model with freshly drawn weights, on torch's default device."""

    def example_inputs(self, config: Any, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """One batch of inputs, the batch on the first axis of each array."""

    def inputs(self, rows: Rows, config: Any) -> tuple[np.ndarray, ...]:
        """What ``forward`` takes for these rows."""

    def training_batch(self, rows: Rows, config: Any, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """What ``loss`` takes for these rows; `TRAINING_UNIT` says whether they are interactions or users."""

    def refresh(self, network: nn.Module, data: PreparedData, config: Any, known: str = "train") -> None:
        """Compute anew what the network stores about items, from their interactions in train or in train and validation
        (``all``); most networks store nothing."""


def with_overrides(config: C, overrides: dict[str, Any]) -> C:
    """The configuration with some fields set; lists become tuples.

    Raises
    ------
    InputError
        A name is not a field's, or a value is of another kind than the field's.

    Examples
    --------
    >>> with_overrides(Prunable("top", "mlp", ("top",)), {"path": "bottom"}).path
    'bottom'
    """
    known = [field.name for field in fields(config)]  # type: ignore[arg-type]
    for name in overrides:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
            raise InputError(f"option {name!r}", f"is not a field of {type(config).__name__}", fix)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in overrides.items()}
    for name, value in values.items():
        _check_value(name, value, getattr(config, name))
    return replace(config, **values)  # type: ignore[type-var]


def _check_value(name: str, value: Any, present: Any) -> None:
    if not _same_kind(value, present):
        raise InputError(f"option {name!r}", f"{value!r} is of another kind than {present!r}", "give one of that kind")
    if name == "objective" and value not in OBJECTIVES:
        raise InputError(f"option {name!r}", f"{value!r} is not known", f"use one of {', '.join(OBJECTIVES)}")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, numbers.Real) and not 0 <= float(number) < float("inf"):
            raise InputError(f"option {name!r}", f"{number} is below 0 or not finite", "give a size")


def _same_kind(value: Any, present: Any) -> bool:
    """Whether a value may stand where `present` does; tuples are of whole numbers, which may stand for others."""
    if isinstance(present, tuple):
        return isinstance(value, tuple) and all(_same_kind(each, 0) for each in value)
    kind = next(kind for kind in (bool, numbers.Integral, numbers.Real, str) if isinstance(present, kind))
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
