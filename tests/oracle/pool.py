"""The ready replicas of one stage and the tasks that their router holds: step 4 of the page, and "Holding"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .router import CHOICES, least

if TYPE_CHECKING:
    from .replica import Replica
    from .request import Request, Task
    from .simpy_oracle import Fleet


class Pool:
    """One stage's pool and router."""

    def __init__(self, fleet: Fleet, k: int) -> None:
        self.fleet = fleet
        self.stage = stage = fleet.world.stages[k]
        if stage.max_outstanding and stage.router != "least_outstanding":
            raise ValueError(f"max_outstanding {stage.max_outstanding}: not for router {stage.router!r}")
        if stage.router not in CHOICES:
            raise ValueError(f"router {stage.router!r}: expected one of {', '.join(CHOICES)}")
        self.members: list[Replica] = []  # in order of site, then slot
        self.held: list[Task] = []  # in order of class, then of coming
        self.routed = 0  # by round robin
        self.fastest = fleet.fastest
        self.noise_seed = fleet.world.noise_seed

    def receive(self, task: Task) -> None:
        """Route a task that has just come, hold it, or lose it."""
        if not self.reach(task.request):
            self.fleet.losses.lose(task)
        elif self.stage.max_outstanding and (self.held or self.is_full_for(task)):
            self.held.append(task)
            self.held.sort(key=lambda each: each.request.priority)
        else:
            self.route(task)

    def pass_on(self) -> None:
        """Route held tasks in order, while the replica then chosen is below the limit."""
        while self.held:
            task = self.held[0]
            can_go = bool(self.reach(task.request))
            if can_go and not task.is_void and self.is_full_for(task):
                return
            self.held.pop(0)
            if task.is_void:
                continue
            if can_go:
                self.route(task)
            else:
                self.fleet.losses.lose(task)

    def join(self, replica: Replica) -> None:
        self.members.append(replica)
        self.members.sort(key=lambda member: (member.site, member.slot))

    def leave(self, replica: Replica) -> None:
        self.members.remove(replica)

    def reach(self, request: Request) -> list[Replica]:
        """The members that the request can go to from where it is."""
        return [member for member in self.members if self.fleet.network.leads(request.site, member.site)]

    def is_full_for(self, task: Task) -> bool:
        """Whether the replica that would be chosen has as many tasks as it may."""
        return least(self.reach(task.request)).outstanding >= self.stage.max_outstanding

    def route(self, task: Task) -> None:
        """Give the task to the chosen replica, unless that one's queue is full."""
        chosen = CHOICES[self.stage.router](self, self.reach(task.request), task)
        if chosen.has_full_queue:
            self.fleet.journeys.end(task.request, "rejected")
        else:
            chosen.take(task)
