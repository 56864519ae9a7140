"""The page's section "Loss, retry, hedge"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .clock import HEDGE, RETRY
from .request import Stay, Task
from .router import least

if TYPE_CHECKING:
    from .simpy_oracle import Fleet


class Losses:
    """Tasks that are lost, tried again, or doubled."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.clock = fleet.clock

    def lose(self, task: Task) -> None:
        """A task is lost: dropped, left to its twin, tried again, or the end of its request."""
        if task.stay is not None:
            task.stay.fate, task.stay.over_s = "void" if task.is_void else "lost", self.clock.now
            task.stay = None
        if task.is_void:
            return
        self.fleet.counts["lost", task.k] += 1
        if task.twin is not None and task.twin.lives:
            task.has_ended = True
        elif not task.is_twin and task.losses < task.stage.retries:
            task.losses += 1
            self.fleet.counts["retried", task.k] += 1
            self.clock.then(self.clock.now + task.stage.retry_delay_s, RETRY + task.k, lambda: self.retry(task))
        else:
            task.has_ended = True
            self.fleet.journeys.end(task.request, "failed")

    def retry(self, task: Task) -> None:
        """Route a lost task once more, unless its request is over."""
        if not task.is_void:
            self.fleet.pools[task.k].receive(task)

    def plan_hedge(self, task: Task) -> None:
        """A replica has taken a task: look at it again after the stage's time for hedging."""
        stay = task.stay
        assert stay is not None
        if task.stage.hedge_after_s > 0 and not task.is_twin:
            due_s = self.clock.now + task.stage.hedge_after_s
            self.clock.then(due_s, HEDGE + task.k, lambda: self.hedge(task, stay))

    def hedge(self, task: Task, stay: Stay) -> None:
        """Give a task a twin at another replica, if it is still where it was."""
        if not task.lives or task.stay is not stay:
            return
        others = [each for each in self.fleet.pools[task.k].reach(task.request) if each is not stay.replica]
        if not others or least(others).has_full_queue:
            return
        self.fleet.counts["hedged", task.k] += 1
        twin = Task(task.request, task.k, task.stage, task.part, task.items, task.losses, is_twin=True, twin=task)
        task.twin = twin
        task.request.tasks.append(twin)
        least(others).take(twin)

    def fail_replicas(self, slots: Sequence[int]) -> None:
        """Replicas fail together: all leave their pools, then each loses its tasks, then held ones are passed on.

        Slots whose replica was released or has failed before are passed by.
        """
        failing = [self.fleet.alive.pop(slot) for slot in slots if slot in self.fleet.alive]
        for replica in failing:
            if not replica.is_draining:
                replica.pool.leave(replica)
        for replica in failing:
            for task in replica.fail():
                self.lose(task)
        if failing:
            self.fleet.pass_on()
