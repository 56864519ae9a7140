"""A request, its tasks, and each stay of a task at a replica."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import simpy

from .draws import uniform
from .model import OracleStage
from .outcome import Outcome

if TYPE_CHECKING:
    from .replica import Replica

Fate = Literal["", "completed", "void", "lost", "expired"]


@dataclass(eq=False)
class Request:
    """A request of a client's (`branch` 0), or in the background for the client's request of this id.

    `priority` is its class. `key` is that of the result cache, None where the service has none. `site` is where it
    is. `tasks` are those of the stage it is at, twins included, `unfinished` how many parts of it are still to come.
    """

    id: int
    branch: int
    service: int
    arrived_s: float
    user: int
    item: int
    items: int
    bytes_in: float
    home: int
    priority: int
    key: int | None
    outcome: Outcome = field(default_factory=Outcome)
    site: int = 0
    tasks: list[Task] = field(default_factory=list)
    unfinished: int = 0
    stage_reached_s: float = math.nan
    stage_over: simpy.Event | None = None
    waiting: list[Request] = field(default_factory=list)
    is_over: bool = False

    @property
    def is_background(self) -> bool:
        return self.branch > 0


@dataclass(eq=False)
class Stay:
    """A task at a replica that took it, from there to its `fate`; the times are NaN until they are known."""

    task: Task
    replica: Replica
    attempt: int
    units: int
    taken_s: float
    ready_s: float = math.nan
    start_s: float = math.nan
    end_s: float = math.nan
    batch_units: int = 0
    fate: Fate = ""
    over_s: float = math.nan


@dataclass(eq=False)
class Task:
    """One part of a request at a stage. `stay` is that at the replica which has it; None while none has."""

    request: Request
    k: int
    stage: OracleStage
    part: int
    items: int
    losses: int = 0
    is_twin: bool = False
    twin: Task | None = None
    stay: Stay | None = None
    is_void: bool = False
    has_ended: bool = False

    @property
    def lives(self) -> bool:
        return not (self.is_void or self.has_ended)

    @property
    def attempt(self) -> int:
        return min(self.losses, 31) + 32 * self.is_twin

    @property
    def size_bytes(self) -> float:
        return self.request.bytes_in + self.items * self.stage.item_bytes

    def draw(self, noise_seed: int, number: int) -> float:
        """The task's uniform number of this kind."""
        return uniform(
            noise_seed,
            self.request.id,
            self.k,
            part=self.part,
            attempt=self.attempt,
            branch=self.request.branch,
            draw=number,
        )

    def is_late(self, now_s: float) -> bool:
        return now_s > self.request.arrived_s + self.stage.expire_s
