"""The router of one stage: rules 3 and 4 of docs/request-path.md."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from .model import OracleStage, Outcome, Status

if TYPE_CHECKING:
    from .simpy_oracle import ReplicaProcess


@dataclass
class Ticket:
    """A request at one stage, from its router to the end of its batch.

    `let_go` fires where the router has held the request and now passes it on or turns it away; `done` fires
    when its batch ends. `replica` is None until a replica takes it, and where none does.
    """

    request_id: int
    items: int
    outcome: Outcome
    let_go: simpy.Event
    done: simpy.Event
    replica: ReplicaProcess | None = None
    units: int = 0
    ready_s: float = math.nan

    @property
    def is_ready(self) -> bool:
        return not math.isnan(self.ready_s)


class Pool:
    """The ready replicas of one stage, their router and the requests that it holds."""

    def __init__(self, env: simpy.Environment, stage: OracleStage) -> None:
        if stage.max_outstanding and stage.router != "least_outstanding":
            raise ValueError(f"max_outstanding {stage.max_outstanding}: not for router {stage.router!r}")
        self.env = env
        self.router = stage.router
        self.max_outstanding = stage.max_outstanding
        self.members: list[ReplicaProcess] = []  # in order of slot
        self.held: list[Ticket] = []  # in order of coming
        self.routed = 0

    def receive(self, ticket: Ticket) -> bool:
        """Route a request that has just come, or turn it away; return whether it is held instead."""
        if not self.members:
            self.turn_away(ticket, "failed")
            return False
        if self.held or self.is_full():
            self.held.append(ticket)
            return True
        self.route(ticket)
        return False

    def pass_on(self) -> None:
        """Route held requests, oldest first, while the replica then chosen is below the limit."""
        while self.held and not self.is_full():
            ticket = self.held.pop(0)
            self.route(ticket)
            ticket.let_go.succeed()

    def join(self, replica: ReplicaProcess) -> None:
        """Add a replica, which may take what is held."""
        self.members.append(replica)
        self.members.sort(key=lambda member: member.slot)
        self.pass_on()

    def leave(self, replica: ReplicaProcess) -> None:
        """Remove a replica; with the last one, what is held fails."""
        self.members.remove(replica)
        while self.held and not self.members:
            ticket = self.held.pop(0)
            self.turn_away(ticket, "failed")
            ticket.let_go.succeed()

    def is_full(self) -> bool:
        """Whether the replica that would be chosen has as many requests as it may."""
        return self.max_outstanding > 0 and self.choose().outstanding >= self.max_outstanding

    def choose(self) -> ReplicaProcess:
        """The replica for the next request, of a pool that is not empty."""
        if self.router == "least_outstanding":
            return min(self.members, key=lambda member: (member.outstanding, member.slot))
        if self.router != "round_robin":
            raise ValueError(f"router {self.router!r}: expected least_outstanding or round_robin")
        chosen = self.members[self.routed % len(self.members)]
        self.routed += 1
        return chosen

    def route(self, ticket: Ticket) -> None:
        """Put the request into the queue of the chosen replica, unless that is at its limit."""
        chosen = self.choose()
        limit = chosen.variant.queue_limit
        if limit and len(chosen.queue) >= limit:
            self.turn_away(ticket, "rejected")
            return
        ticket.replica = chosen
        ticket.units = ticket.items if chosen.variant.unit_items else 1
        ticket.outcome.stage_slot[-1] = chosen.slot
        chosen.queue.append(ticket)

    def turn_away(self, ticket: Ticket, status: Status) -> None:
        ticket.outcome.status, ticket.outcome.done_s = status, self.env.now
