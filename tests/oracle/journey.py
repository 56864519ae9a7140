"""The page's section "One request", for clients' requests and those in the background."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING

import simpy

from .cache import ResultCache
from .link import Message
from .outcome import Status
from .request import Request, Task

if TYPE_CHECKING:
    from .simpy_oracle import Fleet

Steps = Generator[simpy.Event, object, None]


class Journeys:
    """What requests do; a request that ends while its process waits is never woken again."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.clock = fleet.clock
        self.world = fleet.world

    def live(self, request: Request) -> Steps:
        """One request from its arrival, or in the background from its start, to its end."""
        if not request.is_background:
            access = self.fleet.network.access_in[request.home]
            if access is not None:
                if not access.is_up:
                    self.end(request, "failed")
                    return
                there = self.clock.event()
                access.send(request.bytes_in, Message(there.succeed, lambda: self.end(request, "failed")))
                yield there
        request.site = request.home
        goes_on = request.is_background or self.look_in_cache(request)
        if not goes_on:
            return
        for k in self.fleet.funnels[request.service]:
            request.stage_over = self.clock.event()
            self.reach_stage(request, k)
            if k == self.fleet.funnels[request.service][0] and not request.is_background:
                self.prefetch(request)
            if request.is_over:
                return
            request.site = yield request.stage_over  # type: ignore[assignment]
        if request.site != request.home:
            link = self.fleet.network.links.get((request.site, request.home))
            if link is None or not link.is_up:
                self.end(request, "failed")
                return
            there = self.clock.event()
            size_bytes = self.world.plan(request.service).bytes_out
            link.send(size_bytes, Message(there.succeed, lambda: self.end(request, "failed")))
            yield there
        self.come_home(request)

    # The result cache.

    def look_in_cache(self, request: Request) -> bool:
        """Step 2; whether the request goes on to the first stage."""
        cache = self.fleet.caches[request.service]
        if cache is None or request.key is None:
            return True
        found = cache.find(request.home, request.key, self.clock.now)
        flying = cache.in_flight.get((request.home, request.key), [])
        if found is not None:
            number, filled_s = found
            level = cache.plan.levels[number]
            request.outcome.cache = f"hit {number}"
            self.answer(request, leaves_s=self.clock.now + level.hit_s)
            if self.clock.now - filled_s >= level.refresh_after_s and not flying:
                cache.levels[number][request.home].counts["refreshed"] += 1
                self.send_background(request, request.key, branch=1)
            return False
        if cache.plan.coalesces and flying:
            request.outcome.cache = "wait"
            cache.levels[0][request.home].counts["coalesced"] += 1
            flying[0].waiting.append(request)
            self.prefetch(request)
            return False
        request.outcome.cache = "miss"
        cache.in_flight.setdefault((request.home, request.key), []).append(request)
        return True

    def prefetch(self, request: Request) -> None:
        """Send background requests for the keys that follow, where they are not known or on their way."""
        cache = self.fleet.caches[request.service]
        if cache is None or request.key is None:
            return
        for i in range(1, cache.plan.prefetch + 1):
            key = request.key + i
            if not cache.has(request.home, key, self.clock.now) and (request.home, key) not in cache.in_flight:
                cache.levels[0][request.home].counts["prefetched"] += 1
                self.send_background(request, key, branch=1 + i)

    def send_background(self, cause: Request, key: int, branch: int) -> None:
        """Start a request in the background for what a client's request has found or missed."""
        cache = self.fleet.caches[cause.service]
        assert isinstance(cache, ResultCache)
        request = Request(
            id=cause.id,
            branch=branch,
            service=cause.service,
            arrived_s=self.clock.now,
            user=cause.user,
            item=cause.item,
            items=cause.items,
            bytes_in=cause.bytes_in,
            home=cause.home,
            priority=cause.priority,
            key=key,
        )
        cache.in_flight.setdefault((request.home, key), []).append(request)
        self.fleet.start(request)

    # Stages and tasks.

    def reach_stage(self, request: Request, k: int) -> None:
        """Step 3: split the request into tasks and have them routed."""
        stage = self.world.stages[k]
        request.outcome.reach_stage()
        request.tasks, request.stage_reached_s = [], self.clock.now
        if self.clock.now > request.arrived_s + stage.expire_s:
            self.fleet.counts["expired", k] += 1
            self.end(request, "rejected")
            return
        n = min(request.items, stage.candidates) if request.items else stage.candidates
        p = math.ceil(n / stage.split_items) if stage.split_items else 1
        request.unfinished = p
        for j in range(p):
            task = Task(request, k, stage, j, n // p + (j < n % p))
            request.tasks.append(task)
            self.fleet.pools[k].receive(task)
            if request.is_over:
                return

    def complete_task(self, task: Task) -> None:
        """Step 9, for a task that is not void."""
        request, stay = task.request, task.stay
        assert stay is not None
        assert request.stage_over is not None
        task.has_ended = True
        if self.clock.now <= request.stage_reached_s + task.stage.budget_s:
            self.fleet.counts["budget_met", task.k] += 1
        self.fleet.counts["hedges_won", task.k] += task.is_twin
        if task.twin is not None and task.twin.lives:
            task.twin.is_void = True
        request.unfinished -= 1
        if request.unfinished == 0:
            self.show(task, is_last=True)
            request.stage_over.succeed(stay.replica.site)

    def show(self, task: Task, *, is_last: bool = False) -> None:
        """Enter a task's stay into what is told of the request."""
        stay, outcome = task.stay, task.request.outcome
        if stay is None or task.request.is_over or not (is_last or len(task.request.tasks) == 1):
            return
        outcome.stage_slot[-1], outcome.stage_batch_units[-1] = stay.replica.slot, stay.batch_units
        outcome.stage_ready_s[-1] = stay.ready_s
        outcome.stage_start_s[-1], outcome.stage_end_s[-1] = stay.start_s, stay.end_s

    # The end.

    def come_home(self, request: Request) -> None:
        """Step 10, with the result at home."""
        cache = self.fleet.caches[request.service]
        if cache is not None and request.key is not None:
            cache.fill(request.home, request.key, self.clock.now)
        self.answer(request, leaves_s=self.clock.now)

    def answer(self, request: Request, leaves_s: float) -> None:
        """Complete a request whose answer leaves home at `leaves_s`, unless the way out is down."""
        access = self.fleet.network.access_out[request.home]
        if request.is_background:
            self.end(request, "completed")
        elif access is None:
            self.end(request, "completed", done_s=leaves_s + self.world.hop_delay_s)
        elif access.is_up:
            there_s = access.pass_over(self.world.plan(request.service).bytes_out, leaves_s)
            self.end(request, "completed", done_s=there_s + self.world.hop_delay_s)
        else:
            self.end(request, "failed")

    def end(self, request: Request, status: Status, done_s: float | None = None) -> None:
        """End a request once and for all, and with it those that wait for it."""
        if request.is_over:
            raise AssertionError(f"request {request.id} ends twice")
        request.is_over = True
        outcome = request.outcome
        outcome.status, outcome.over_s = status, self.clock.now
        outcome.done_s = self.clock.now if done_s is None else done_s
        if request.unfinished:
            outcome.leave_stage_open()
        for task in request.tasks:
            task.is_void = task.is_void or not task.has_ended
        self.fleet.count_end(request)
        cache = self.fleet.caches[request.service]
        if cache is not None and request in (flying := cache.in_flight.get((request.home, request.key or 0), [])):
            flying.remove(request)
            if not flying:
                del cache.in_flight[request.home, request.key or 0]
        for waiting in request.waiting:
            if status == "completed":
                self.answer(waiting, leaves_s=self.clock.now)
            else:
                self.end(waiting, status)
