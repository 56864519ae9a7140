"""docs/request-path.md in SimPy: a process for every request and replica, a resource for every network card.

Events at one instant run by rank, which is how the page's section "Ties" is kept: first whatever follows at
once from the event before (SimPy's own priorities 0 and 1: transfers that end, requests that move on), then
the replicas by slot, then the trace, then the control plane.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from heapq import heappush

import simpy

from .model import Control, OracleArrival, OracleReplica, OracleWorld, Outcome
from .router import Pool, Ticket
from .service_time import batch_latency_s, uniform

AT_ONCE = 1
FIRST_REPLICA = 2
TRACE = 1 << 40
CONTROL = TRACE + 1
STOP = TRACE + 2

Steps = Generator[simpy.Event, object, None]


class Clock(simpy.Environment):
    """An environment that can also wait for an absolute time.

    `timeout(t - now)` ends at `now + (t - now)`, which rounds and would break ties that the page decides.
    """

    def at(self, time_s: float, rank: int = AT_ONCE) -> simpy.Event:
        """Return an event of exactly `time_s`, processed by `rank` among those of the same time."""
        if time_s < self.now:
            raise AssertionError(f"an event of {time_s} was asked for at {self.now}")
        event = simpy.Event(self)
        event._ok, event._value = True, None
        entry: tuple[float, int, int, simpy.Event] = (time_s, rank, next(self._eid), event)
        heappush(self._queue, entry)  # type: ignore[misc]
        return event


class ReplicaProcess:
    """The queue, batcher and device of one replica."""

    def __init__(self, fleet: Fleet, replica: OracleReplica) -> None:
        self.fleet = fleet
        self.env = fleet.env
        self.slot = replica.slot
        self.node = replica.node
        self.speed = replica.speed
        self.variant = fleet.world.variants[replica.variant]
        self.queue: list[Ticket] = []
        self.in_batch: list[Ticket] = []
        self.draining = False
        self.free_since_s = self.env.now
        self.changed = self.env.event()
        self.env.process(self.serve())

    @property
    def outstanding(self) -> int:
        """Requests routed here and not yet completed."""
        return len(self.queue) + len(self.in_batch)

    def notice(self) -> None:
        """Let the batcher look at its queue again."""
        if not self.changed.triggered:
            self.changed.succeed()

    def due_s(self) -> float:
        """When the next batch starts, from what is ready now; infinite where the head is not ready."""
        if not self.queue or not self.queue[0].is_ready:
            return math.inf
        fill_s, units = math.inf, 0
        for ticket in self.queue:
            units += ticket.units
            if not ticket.is_ready:
                break
            if units >= self.variant.max_batch:
                fill_s = ticket.ready_s
                break
        return max(self.free_since_s, min(self.queue[0].ready_s + self.variant.max_wait_s, fill_s))

    def serve(self) -> Steps:
        """Form a batch, compute it, hand its requests on; for as long as the replica lives."""
        my_rank = FIRST_REPLICA + self.slot
        while not (self.draining and self.outstanding == 0):
            if self.changed.triggered:
                self.changed = self.env.event()
            due_s = self.due_s()
            if math.isinf(due_s):
                yield self.changed
                continue
            alarm = self.env.at(due_s, my_rank)
            yield alarm | self.changed
            if not alarm.processed:
                continue
            yield self.env.at(self.start_batch(), my_rank)
            self.complete_batch()
        self.fleet.released_s[self.slot] = self.env.now
        del self.fleet.alive[self.slot]

    def start_batch(self) -> float:
        """Take requests from the head of the queue; return when their batch ends."""
        units = self.queue[0].units
        self.in_batch = [self.queue.pop(0)]
        while self.queue and self.queue[0].is_ready and units + self.queue[0].units <= self.variant.max_batch:
            units += self.queue[0].units
            self.in_batch.append(self.queue.pop(0))
        world = self.fleet.world
        u = None
        if world.noise:
            u = uniform(world.noise_seed, self.in_batch[0].request_id, self.variant.stage)
        end_s = self.env.now + batch_latency_s(self.variant, units, self.speed, u)
        for ticket in self.in_batch:
            ticket.outcome.stage_start_s[-1] = self.env.now
            ticket.outcome.stage_end_s[-1] = end_s
            ticket.outcome.stage_batch_units[-1] = units
        return end_s

    def complete_batch(self) -> None:
        """Make room for what the router holds, then let each request of the batch go on, in order."""
        batch, self.in_batch = self.in_batch, []
        self.free_since_s = self.env.now
        self.fleet.pools[self.variant.stage].pass_on()
        for ticket in batch:
            ticket.done.succeed()


class Fleet:
    """All that the processes share."""

    def __init__(self, world: OracleWorld, requests: int) -> None:
        self.world = world
        self.env = Clock()
        self.cards = [simpy.Resource(self.env, capacity=1) for _ in world.nic_bytes_per_s]
        self.pools = [Pool(self.env, stage) for stage in world.stages]
        self.funnels = [world.funnel(service) for service in range(world.services)]
        self.alive: dict[int, ReplicaProcess] = {}
        self.released_s: dict[int, float] = {}
        self.outcomes = [Outcome() for _ in range(requests)]

    def trace(self, arrivals: Sequence[OracleArrival]) -> Steps:
        """Send in the requests, one after the other."""
        for request_id, arrival in enumerate(arrivals):
            yield self.env.at(arrival.arrival_s, TRACE)
            self.env.process(self.request(request_id, arrival))

    def request(self, request_id: int, arrival: OracleArrival) -> Steps:
        """One request through its service's funnel."""
        outcome = self.outcomes[request_id]
        for k in self.funnels[arrival.service]:
            stage = self.world.stages[k]
            items = min(arrival.items, stage.candidates) if arrival.items else stage.candidates
            outcome.reach_stage()
            ticket = Ticket(request_id, items, outcome, let_go=self.env.event(), done=self.env.event())
            is_held = self.pools[k].receive(ticket)
            if is_held:
                yield ticket.let_go
            if ticket.replica is None:
                return
            yield from self.transfer(ticket.replica.node, arrival.bytes_in + items * stage.item_bytes)
            ticket.ready_s = outcome.stage_ready_s[-1] = self.env.now
            ticket.replica.notice()
            yield ticket.done
        outcome.status, outcome.done_s = "completed", self.env.now + self.world.hop_delay_s

    def transfer(self, node: int, size_bytes: float) -> Steps:
        """Through the node's card, first come first served, and then the hop."""
        with self.cards[node].request() as turn:
            yield turn
            yield self.env.at(self.env.now + size_bytes / self.world.nic_bytes_per_s[node])
        yield self.env.at(self.env.now + self.world.hop_delay_s)

    def control_plane(self, controls: Iterable[Control]) -> Steps:
        """Activate and drain replicas at the stated times."""
        for control in sorted(controls, key=lambda control: control.time_s):
            yield self.env.at(control.time_s, CONTROL)
            if control.action == "activate":
                self.activate(control.replica)
            else:
                self.drain(control.replica.slot)

    def activate(self, replica: OracleReplica) -> None:
        if replica.slot in self.alive:
            raise ValueError(f"slot {replica.slot}: activated at {self.env.now} s before it was released")
        process = ReplicaProcess(self, replica)
        self.alive[replica.slot] = process
        self.pools[process.variant.stage].join(process)

    def drain(self, slot: int) -> None:
        process = self.alive[slot]
        self.pools[process.variant.stage].leave(process)
        process.draining = True
        process.notice()


def run(
    world: OracleWorld,
    arrivals: Sequence[OracleArrival],
    controls: Iterable[Control],
    *,
    until_s: float | None = None,
) -> tuple[list[Outcome], dict[int, float]]:
    """Serve a trace.

    Parameters
    ----------
    world, arrivals, controls
        The data plane, the trace in order of arrival, and what the control plane does. A control at time `t`
        comes after every event of the requests at `t`.
    until_s
        If given, stop after the events of this time; otherwise run until nothing is left to do.

    Returns
    -------
    outcomes
        One for each arrival.
    released_s
        When each drained slot was released; of a slot used again, the last time.

    Raises
    ------
    ValueError
        If a slot is activated while its last replica is still alive, arrivals are not in order, or a stage
        limits what is outstanding under another router than least outstanding.
    """
    for i in range(1, len(arrivals)):
        if arrivals[i].arrival_s < arrivals[i - 1].arrival_s:
            raise ValueError(f"arrival {i}: earlier than arrival {i - 1}")
    fleet = Fleet(world, len(arrivals))
    fleet.env.process(fleet.trace(arrivals))
    fleet.env.process(fleet.control_plane(controls))
    fleet.env.run(until=None if until_s is None else fleet.env.at(until_s, STOP))
    return fleet.outcomes, fleet.released_s
