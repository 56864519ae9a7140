"""What every model module offers, so that the profiler needs to know none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ModelConfig", "ModelModule"]


class ModelConfig(Protocol):
    """A frozen dataclass of sizes, which knows its own weight counts."""

    def parameter_count(self) -> int:
        """Numbers in all weights and stored vectors."""

    def embedding_count(self) -> int:
        """Numbers in the tables that are looked up by id, a part of `parameter_count`."""


class ModelModule(Protocol):
    """A module of this package, seen as an object."""

    STAGE: str
    UNIT: str
    INPUTS: str

    def default_config(self) -> Any:
        """The size that the shipped profiles were measured at."""

    def build(self, config: Any) -> nn.Module:
        """The model with freshly drawn weights, on torch's default device."""

    def example_inputs(self, config: Any, batch_size: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """One batch of inputs, the batch on the first axis of each array."""
