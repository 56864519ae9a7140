"""The processes that train together: who am I, and the few things that all must agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["ALONE", "Team"]


@dataclass(frozen=True)
class Team:
    """One process's place among those that train together.

    Attributes
    ----------
    rank, processes
        Number of this process, from 0, and of all. With one process no process group is needed.
    local_rank
        Number of this process on its machine: that of its GPU.
    """

    rank: int = 0
    processes: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process evaluates, writes and tells."""
        return self.rank == 0

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is up in any process."""
        if self.processes == 1:
            return flag
        raised = torch.tensor([int(flag)], device=device)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return bool(raised.item())

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum over the processes, in a new tensor."""
        if self.processes == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total

    def from_leader(self, value: Any, device: torch.device) -> Any:
        """What the leading process holds."""
        if self.processes == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0, device=device)
        return held[0]

    def wait(self) -> None:
        """Until all have come so far."""
        if self.processes > 1:
            dist.barrier()


ALONE = Team()
