"""A pool of drawn inputs, from which every timing takes another stretch."""

from __future__ import annotations

from typing import Any

import numpy as np

from workloads.models.base import ModelModule

__all__ = ["InputPool"]

_POOL_BYTES = 256 * 2**20


class InputPool:
    """Rows of inputs drawn once; a batch is a stretch of them that starts at a random row."""

    def __init__(self, module: ModelModule, config: Any, largest_batch: int, generator: np.random.Generator) -> None:
        probe = module.example_inputs(config, 1, np.random.default_rng(0))
        row_bytes = sum(array.nbytes for array in probe)
        rows = max(min(32 * largest_batch, _POOL_BYTES // row_bytes), 4 * largest_batch, 1024)
        self.arrays = module.example_inputs(config, rows, generator)
        self.rows = rows
        self._generator = generator

    @property
    def nbytes(self) -> int:
        """Memory that the pool holds."""
        return sum(array.nbytes for array in self.arrays)

    def batch(self, size: int) -> tuple[np.ndarray, ...]:
        """Inputs of one batch, as views into the pool."""
        first = int(self._generator.integers(0, self.rows - size + 1))
        return tuple(array[first : first + size] for array in self.arrays)
