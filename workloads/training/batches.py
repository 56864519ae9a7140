"""What each step trains on: a shuffled order for each epoch, cut into batches, cut into micro-batches.

Nothing is carried from one step to the next: the order hangs on seed and epoch, and the randomness of a micro-batch
(negatives, masks, dropout) on seed, epoch, step and its number. A run can so be taken up at any step, and two processes
with one micro-batch each do what one process with two does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workloads.interactions.prepared import PreparedData
    from workloads.models.base import ModelModule

__all__ = ["BatchPlan", "Examples", "MicroBatch", "ahead", "to_tensors"]

_ORDER, _SHARD = 1, 2

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Inputs of one backward pass.

    Attributes
    ----------
    arrays
        What the network's ``loss`` takes.
    weight
        Share of the global batch's rows that are in it.
    torch_seed
        Of dropout and whatever else the network draws.
    """

    arrays: tuple[np.ndarray, ...]
    weight: float
    torch_seed: int

    def tensors(self, device: torch.device) -> tuple[torch.Tensor, ...]:
        """The arrays on a device."""
        return to_tensors(self.arrays, device)


class Examples:
    """The training part in the unit that a model learns from: interactions, or users with their histories."""

    def __init__(self, module: ModelModule, config: Any, data: PreparedData) -> None:
        self._module, self._config, self._data = module, config, data
        self._users: np.ndarray | None = None
        if module.TRAINING_UNIT == "users":
            known = np.unique(data.train.user)
            self._users = known[known > 0]

    def __len__(self) -> int:
        return len(self._data.train) if self._users is None else len(self._users)

    def arrays(self, index: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
        """What the network's ``loss`` takes, for some examples."""
        from workloads.interactions.rows import Rows

        if self._users is None:
            rows = Rows.of_interactions(self._data, "train", index)
        else:
            rows = Rows.of_users(self._data, self._users[index], "train")
        return self._module.training_batch(rows, self._config, generator)


@dataclass(frozen=True)
class BatchPlan:
    """How epochs are cut.

    Attributes
    ----------
    examples
        Training examples, in the model's unit.
    batch_size
        Examples of a global batch.
    shards
        Micro-batches of a global batch, over processes and accumulation.
    seed
        Root of every draw.
    """

    examples: int
    batch_size: int
    shards: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of an epoch; a last batch with fewer examples than micro-batches is left out of its epoch."""
        full, rest = divmod(self.examples, self.batch_size)
        return full + (rest >= self.shards)

    def order(self, epoch: int) -> np.ndarray:
        """``example[position]`` of an epoch."""
        sequence = np.random.SeedSequence([self.seed, _ORDER, epoch])
        return np.random.default_rng(sequence).permutation(self.examples)

    def micro_batches(
        self, examples: Examples, order: np.ndarray, epoch: int, step: int, mine: range
    ) -> list[MicroBatch]:
        """Those micro-batches of a step whose numbers are in `mine`."""
        batch = order[step * self.batch_size : (step + 1) * self.batch_size]
        parts = np.array_split(batch, self.shards)
        made = []
        for shard in mine:
            sequence = np.random.SeedSequence([self.seed, _SHARD, epoch, step, shard])
            torch_seed = int(sequence.generate_state(1, np.uint64)[0] >> 1)
            arrays = examples.arrays(parts[shard], np.random.default_rng(sequence))
            made.append(MicroBatch(arrays, len(parts[shard]) / len(batch), torch_seed))
        return made


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, the next one being made in a thread while the present one is used."""
    nothing = object()
    with ThreadPoolExecutor(max_workers=1) as pool:
        coming = pool.submit(next, items, nothing)
        while (item := coming.result()) is not nothing:
            coming = pool.submit(next, items, nothing)
            yield item  # type: ignore[misc]


def to_tensors(arrays: tuple[np.ndarray, ...], device: torch.device) -> tuple[torch.Tensor, ...]:
    """Arrays on a device; on the CPU they share memory, unless they must not be written."""
    writable = (array if array.flags.writeable else array.copy() for array in arrays)
    return tuple(torch.from_numpy(array).to(device, non_blocking=True) for array in writable)
