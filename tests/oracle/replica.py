"""A replica: its queue, its batcher and its device; steps 5 to 9 of the page."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING

import simpy

from .clock import REPLICA
from .draws import NOISE
from .link import Message
from .model import OracleReplica
from .request import Fate, Stay, Task
from .service_time import batch_latency_s, cold_start_s, slowdown

if TYPE_CHECKING:
    from .simpy_oracle import Fleet

Steps = Generator[simpy.Event, object, None]


class Replica:
    """From its activation until it is released or fails. `coming` is on a link, `queue` in order of joining."""

    def __init__(self, fleet: Fleet, plan: OracleReplica) -> None:
        self.fleet = fleet
        self.clock = fleet.clock
        self.plan = plan
        self.slot = plan.slot
        self.variant = fleet.world.variants[plan.variant]
        self.pool = fleet.pools[self.variant.stage]
        self.weight = self.variant.weight * plan.speed
        self.site = fleet.world.site_of(plan.node)
        self.slowness = 1.0
        self.coming: list[Task] = []
        self.queue: list[Task] = []
        self.batch: list[Task] = []
        self.is_draining = False
        self.is_gone = False
        self.activated_s = self.free_since_s = self.clock.now
        self.changed = self.clock.event()
        self.clock.process(self.serve())

    @property
    def outstanding(self) -> int:
        """Tasks routed here and not yet completed or dropped."""
        return len(self.coming) + len(self.queue) + len(self.batch)

    @property
    def has_full_queue(self) -> bool:
        limit = self.variant.queue_limit
        return 0 < limit <= len(self.coming) + len(self.queue)

    def take(self, task: Task) -> None:
        """Take a task that was routed here: over a link if need be, else to the node's card at once."""
        units = task.items if self.variant.unit_items else 1
        task.stay = Stay(task, self, task.attempt, units, taken_s=self.clock.now)
        self.fleet.stays.append(task.stay)
        self.fleet.losses.plan_hedge(task)
        self.coming.append(task)
        if self.site == task.request.site:
            self.arrive(task)
        else:
            link = self.fleet.network.links[task.request.site, self.site]
            link.send(task.size_bytes, Message(lambda: self.arrive(task), lambda: self.miss(task)))

    def arrive(self, task: Task) -> None:
        """A task is at this site: it joins the queue by way of the card, unless one of them is no more."""
        if self.is_gone:
            self.fleet.losses.lose(task)
        elif task.is_void:
            self.miss(task)
            self.pool.pass_on()
        else:
            self.coming.remove(task)
            self.queue.append(task)
            assert task.stay is not None
            received_s = self.fleet.network.receive(self.plan.node, task.size_bytes)
            task.stay.ready_s = received_s + self.fleet.world.hop_delay_s
            self.fleet.journeys.show(task)
            self.notice()

    def miss(self, task: Task) -> None:
        """A task does not come any more."""
        self.coming.remove(task)
        self.fleet.losses.lose(task)
        self.notice()

    def notice(self) -> None:
        """Let the batcher look at its queue again."""
        if not self.changed.triggered:
            self.changed.succeed()

    def due_s(self) -> float:
        """When the next batch starts, as things are; infinite for an empty queue."""
        if not self.queue:
            return math.inf
        ready_s = [task.stay.ready_s for task in self.queue if task.stay]
        fill_s, units = math.inf, 0
        for task in self.queue:
            assert task.stay is not None
            units += task.stay.units
            if units >= self.variant.max_batch:
                fill_s = task.stay.ready_s
                break
        return max(self.free_since_s, min(ready_s[0] + self.variant.max_wait_s, fill_s))

    def serve(self) -> Steps:
        """Form a batch, compute it, let its tasks go on; for as long as the replica lives."""
        my_rank = REPLICA + self.slot
        while not self.is_gone and not (self.is_draining and self.outstanding == 0):
            if self.changed.triggered:
                self.changed = self.clock.event()
            due_s = self.due_s()
            if math.isinf(due_s):
                yield self.changed
                continue
            alarm = self.clock.at(due_s, my_rank)
            yield alarm | self.changed
            if not alarm.processed or self.is_gone:
                continue
            dropped = self.fill_batch()
            if self.batch:
                end_s = self.start_batch()
            if dropped:
                self.pool.pass_on()
            if not self.batch:
                continue
            yield self.clock.at(end_s, my_rank)
            if not self.is_gone:
                self.complete_batch()
        if not self.is_gone:
            self.fleet.released(self)

    def fill_batch(self) -> int:
        """Take tasks that are ready, class after class, and drop those that need not run; return how many."""
        now_s = self.clock.now
        ready = [task for task in self.queue if task.stay and task.stay.ready_s <= now_s]
        units = dropped = 0
        for task in sorted(ready, key=lambda each: each.request.priority):
            assert task.stay is not None
            if task.is_void or task.is_late(now_s):
                self.queue.remove(task)
                self.drop(task, "void" if task.is_void else "expired")
                dropped += 1
            elif self.batch and units + task.stay.units > self.variant.max_batch:
                break
            else:
                self.queue.remove(task)
                self.batch.append(task)
                units += task.stay.units
        return dropped

    def drop(self, task: Task, fate: Fate) -> None:
        """End a task's stay without serving it; one that is late takes its request with it."""
        assert task.stay is not None
        task.stay.fate, task.stay.over_s = fate, self.clock.now
        task.stay = None
        if fate == "expired":
            task.has_ended = True
            self.fleet.counts["expired", task.k] += 1
            self.fleet.journeys.end(task.request, "rejected")

    def start_batch(self) -> float:
        """Look the rows up and compute; return when the batch ends."""
        world, variant = self.fleet.world, self.variant
        stays = [task.stay for task in self.batch if task.stay]
        units = sum(stay.units for stay in stays)
        u = self.batch[0].draw(world.noise_seed, NOISE) if world.noise else None
        idle_s = self.clock.now - self.free_since_s
        rows_s = self.fleet.tiers.look_up(self.plan.variant, self.plan.node, units)
        peers = [each for each in self.fleet.alive.values() if each.plan.device == self.plan.device >= 0]
        running = sum(bool(each.batch) for each in peers)
        warm_s = batch_latency_s(variant, units, self.plan.speed, u)
        latency_s = (warm_s + cold_start_s(variant, idle_s, self.plan.speed)) * self.slowness
        device_free_s = self.fleet.device_free_s
        if self.plan.device >= 0 and variant.interference and variant.interference.takes_turns:
            waits = device_free_s[self.plan.device] > rows_s
            turn_s = variant.interference.turn_waiting_s if waits else variant.interference.turn_s
            is_new = self.fleet.device_last.get(self.plan.device, self.plan.slot) != self.plan.slot
            end_s = max(rows_s, device_free_s[self.plan.device]) + latency_s + is_new * turn_s
        else:
            end_s = rows_s + latency_s * slowdown(variant.interference, running, units)
        device_free_s[self.plan.device] = max(device_free_s[self.plan.device], end_s)
        self.fleet.device_last[self.plan.device] = self.plan.slot
        for stay in stays:
            stay.start_s, stay.end_s, stay.batch_units = self.clock.now, end_s, units
            self.fleet.journeys.show(stay.task)
        return end_s

    def complete_batch(self) -> None:
        """Make room for what the router holds, then let each task of the batch go on, in order."""
        batch, self.batch = self.batch, []
        self.free_since_s = self.clock.now
        self.pool.pass_on()
        for task in batch:
            assert task.stay is not None
            if task.is_void:
                self.drop(task, "void")
            else:
                task.stay.fate, task.stay.over_s = "completed", self.clock.now
                self.fleet.journeys.complete_task(task)

    def drain(self) -> None:
        self.is_draining = True
        self.notice()

    def fail(self) -> list[Task]:
        """Be no more; return the tasks that are lost now: of the batch, then of the queue."""
        self.is_gone = True
        lost, self.batch, self.queue = self.batch + self.queue, [], []
        self.notice()
        return lost
