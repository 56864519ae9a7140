"""Work beside serving: training jobs and online updates on GPUs that serving leaves idle, which give way to it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from simulator.actuator import Actuator
from simulator.life.events import JobReport
from simulator.life.plan import Job
from simulator.placement import Seat

__all__ = ["Training"]


class _Work:
    """A job's state: what is due, where it runs, and what it has done."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.need = np.array(job.need)
        self.due = 0
        self.finished = 0
        self.kept_gpu_s = 0.0
        self.lost_gpu_s = 0.0
        self.held_gpu_s = 0.0
        self.preempted = 0
        self.seat: Seat | None = None
        self.process: simpy.Process | None = None
        self.working_since_s: float | None = None
        self.unwritten_gpu_s = 0.0
        self.held_since_s = 0.0

    @property
    def is_waiting(self) -> bool:
        return self.process is None and self.finished < self.due

    def unsaved_gpu_s(self, now_s: float) -> float:
        """Work since the last checkpoint that is written."""
        since = 0.0 if self.working_since_s is None else (now_s - self.working_since_s) * self.job.gpus
        return since + self.unwritten_gpu_s

    def report(self, now_s: float) -> JobReport:
        held = (now_s - self.held_since_s) * self.job.gpus if self.process is not None else 0.0
        return JobReport(
            self.job.name,
            self.due,
            self.finished,
            self.due * self.job.gpu_s,
            self.finished * self.job.gpu_s + self.kept_gpu_s,
            self.lost_gpu_s,
            self.held_gpu_s + held,
            self.preempted,
        )


class Training:
    """Runs the jobs, in the order they are stated where several wait.

    A job takes whole GPUs, cores and memory of an open node that replicas do not claim; it is not seen by what places
    replicas. When a replica comes to claim any of that, or the node closes or fails, the job leaves at that instant. A
    job with a node of its own has it opened, and leaves only when that fails.
    """

    def __init__(self, env: simpy.Environment, actuator: Actuator, jobs: tuple[Job, ...]) -> None:
        self._env = env
        self._actuator = actuator
        self._works = [_Work(job) for job in jobs]
        self._looks = False
        actuator.on_change.append(self._look)
        for work in self._works:
            env.process(self._release(work))

    def reports(self) -> tuple[JobReport, ...]:
        """Each job's, as of now."""
        return tuple(work.report(self._env.now) for work in self._works)

    def _release(self, work: _Work) -> Generator[simpy.Event, Any, None]:
        yield self._env.timeout(work.job.first_s)
        while True:
            work.due += 1
            self._look_soon()
            if work.job.period_s <= 0.0:
                return
            yield self._env.timeout(work.job.period_s)

    # --- coming and going ------------------------------------------------------------------------------

    def _look(self) -> None:
        """Leave what serving claims at once; look for free GPUs when everything else of this instant has happened."""
        for work in self._works:
            if work.seat is not None and not self._may_stay(work):
                self._stop(work)
        if any(work.is_waiting for work in self._works):
            self._look_soon()

    def _look_soon(self) -> None:
        if not self._looks:
            self._looks = True
            event = self._env.event()
            event.callbacks.append(lambda _: self._fill())
            event.succeed()

    def _fill(self) -> None:
        self._looks = False
        for work in self._works:
            if work.is_waiting:
                seat = self._find(work)
                if seat is not None or work.job.gpus == 0:
                    self._begin(work, seat)

    def _may_stay(self, work: _Work) -> bool:
        """Its node works and is open, its GPUs are empty, and the rest leaves room for it."""
        assert work.seat is not None
        node, placement = work.seat.node, self._actuator.placement
        if not placement.is_usable[node]:
            return False
        if work.job.own_node:
            return True
        if placement.hosted[node] == 0 or not set(work.seat.gpus) <= set(placement.devices.empty(node)):
            return False
        earlier = self._works[: self._works.index(work)]
        return self._room(node, work, [w for w in earlier if w.seat is not None and w.seat.node == node])

    def _room(self, node: int, work: _Work, others: list[_Work]) -> bool:
        free = self._actuator.placement.free[node].copy()
        for other in others:
            if not other.job.own_node:
                free -= other.need
        return bool((free - work.need >= -1e-9 * self._actuator.facts.capacity[self._type_of(node)]).all())

    def _find(self, work: _Work) -> Seat | None:
        """A node of its own, or the first open node that has idle GPUs and room for the rest."""
        placement = self._actuator.placement
        if work.job.gpus == 0:
            return None
        for node_type in work.job.node_types:
            if work.job.own_node:
                seat = self._actuator.open_node(node_type, work.need)
                if seat is not None:
                    return seat
                continue
            for node in placement.nodes_of(node_type):
                if placement.hosted[node] == 0 or not placement.is_usable[node]:
                    continue
                guests = [w for w in self._works if w.seat is not None and w.seat.node == node]
                taken = {gpu for w in guests if not w.job.own_node for gpu in w.seat.gpus}  # type: ignore[union-attr]
                idle = [gpu for gpu in placement.devices.empty(node) if gpu not in taken]
                if len(idle) >= work.job.gpus and self._room(node, work, guests):
                    return Seat(node, tuple(idle[: work.job.gpus]))
        return None

    def _type_of(self, node: int) -> int:
        return int(self._actuator.placement.node_type[node])

    def _begin(self, work: _Work, seat: Seat | None) -> None:
        self._actuator.catch_up()
        work.seat, work.held_since_s = seat, self._env.now
        ledger = self._actuator.ledger
        ledger.training_gpus += work.job.gpus
        work.process = self._env.process(self._run(work))
        self._log("job_began" if work.kept_gpu_s == 0.0 else "job_resumed", work,
                  f"{work.job.gpu_s - work.kept_gpu_s:g} GPU s to do")  # fmt: skip

    def _stop(self, work: _Work) -> None:
        """It gives way; what it did since the last checkpoint is lost."""
        assert work.process is not None
        work.process.interrupt()
        lost = work.unsaved_gpu_s(self._env.now)
        work.lost_gpu_s += lost
        work.preempted += 1
        self._leave(work)
        self._log("job_gave_way", work, f"{lost:g} GPU s of work lost")

    def _leave(self, work: _Work) -> None:
        actuator, seat = self._actuator, work.seat
        actuator.catch_up()
        work.held_gpu_s += (self._env.now - work.held_since_s) * work.job.gpus
        work.process = work.working_since_s = work.seat = None
        work.unwritten_gpu_s = 0.0
        actuator.ledger.training_gpus -= work.job.gpus
        if work.job.own_node and seat is not None:
            actuator.close_node(seat, work.need)

    # --- work ------------------------------------------------------------------------------------------

    def _run(self, work: _Work) -> Generator[simpy.Event, Any, None]:
        job, store = work.job, self._actuator.store
        node = work.seat.node if work.seat is not None else None
        purpose = "update" if job.period_s > 0.0 else "training"
        try:
            yield self._env.timeout(job.start_s + (self._actuator.boot_left_s(node) if node is not None else 0.0))
            yield from store.load(node, job.read_bytes, purpose)
            while work.kept_gpu_s < job.gpu_s:
                left = job.gpu_s - work.kept_gpu_s
                step = min(left, job.checkpoint_gpu_s) if job.checkpoint_gpu_s > 0.0 else left
                work.working_since_s = self._env.now
                yield self._env.timeout(step / max(job.gpus, 1))
                work.working_since_s, work.unwritten_gpu_s = None, step
                if step < left:
                    yield from store.load(node, job.checkpoint_bytes, purpose)
                work.kept_gpu_s, work.unwritten_gpu_s = job.gpu_s - (left - step), 0.0
            yield from store.load(node, job.write_bytes, purpose)
        except simpy.Interrupt:
            return
        work.finished += 1
        work.kept_gpu_s = 0.0
        self._leave(work)
        self._log("job_ended", work, f"{work.finished} of {work.due} due")
        self._look_soon()

    def _log(self, what: str, work: _Work, consequence: str) -> None:
        self._actuator.log.add(self._env.now, what, work.job.name, consequence)
