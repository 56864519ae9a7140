"""Who serves a job: the model in this process, or processes with a replica or a stage each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from workloads.errors import InputError
from workloads.parent import end_with_parent
from workloads.server.batching import Batches, BatchRule, without_collector
from workloads.server.clock import WallClock
from workloads.server.log import RunLog, StageLog
from workloads.server.plan import JobPlan
from workloads.server.routing import route
from workloads.server.sources import ClockSource, Queue, QueueSource

__all__ = ["Team", "TeamError", "team_of"]

_MOST_REQUESTS = 400_000
_LEAD_S = 0.25
_PATIENCE_S = 300.0
_LONGEST_S = 86_400.0
_CLOSING_S = 5.0


class TeamError(RuntimeError):
    """A process failed; the message is its own."""


class Team(Protocol):
    """Models of a job, by stage and replica."""

    def profile(self) -> list[dict[str, Any]]:
        """A profile of each stage's model."""

    def load(self) -> list[dict[str, Any]]:
        """Make every process ready; seconds of that, ``[process]``."""

    def serve(self, arrival_s: np.ndarray, rules: tuple[BatchRule, ...], router: str, limit_s: float) -> RunLog:
        """Replay arrivals; no batch begins ``limit_s`` after the start, and the log ends where answers are missing."""

    def facts(self, method: str, *arguments: Any) -> list[Any]:
        """What every process's `Member` answers, all at once."""

    def first(self, method: str, *arguments: Any) -> Any:
        """What the first process's `Member` answers, while the others are idle."""


def team_of(job: JobPlan, folder: Path, gpus: list[str], cores: list[int]) -> contextlib.AbstractContextManager[Team]:
    """The team that a job needs, on these GPUs and cores."""
    if job.processes == 1:
        return _alone(job, folder, cores)
    return _together(job, folder, gpus, cores)


class Member:
    """A model and what it is asked for, wherever it is."""

    def __init__(self, job: JobPlan, stage: int, folder: Path, inbox: Queue | None, outbox: Queue | None) -> None:
        from workloads.server.model import ServedModel

        self.job, self.inbox, self.outbox = job, inbox, outbox
        self.units = job.models[stage].request_units
        self.model = ServedModel(job.models[stage], job.sizes(stage), folder)

    def profile(self) -> dict[str, Any]:
        job = self.job
        shares = job.replicas > 1 and job.interference_s > 0
        return self.model.profile(job.profile_s, (job.replicas,) if shares else (), max(job.interference_s, 1.0))

    def load(self) -> dict[str, Any]:
        return self.model.load()

    def warm(self) -> None:
        self.model.warm()

    def assembly(self) -> dict[str, Any]:
        return self.model.assembly()

    def poll_s(self) -> float:
        return self.model.poll_s()

    def time_again(self, timing_s: float) -> dict[str, Any]:
        """A few sizes: the smallest, the largest, and one between."""
        sizes = self.model.sizes
        return self.model.time_again(tuple(sorted({sizes[0], sizes[len(sizes) // 2], sizes[-1]})), timing_s)

    def core(self) -> dict[str, float]:
        """How the core did since this was last asked."""
        return self.model.core.facts()

    def state(self) -> dict[str, Any] | None:
        from workloads.server.device_state import device_state

        return device_state(self.model.settings.device_kind)

    def serve(
        self,
        arrival_s: np.ndarray | None,
        ids: np.ndarray,
        rule: BatchRule,
        limit_s: float,
        origin_s: float | None = None,
    ) -> Batches:
        """Requests due by the clock, or from the inbox where there are none."""
        if arrival_s is not None:
            return self.model.serve(ClockSource(arrival_s, self.units, ids, self.outbox), rule, origin_s, limit_s)
        assert self.inbox is not None
        return self.model.serve(QueueSource(self.inbox, self.units, self.outbox), rule, origin_s, limit_s)


class _Alone:
    """One replica in this process."""

    def __init__(self, job: JobPlan, folder: Path) -> None:
        self.member = Member(job, 0, folder, None, None)

    def profile(self) -> list[dict[str, Any]]:
        return [self.member.profile()]

    def load(self) -> list[dict[str, Any]]:
        return [self.member.load()]

    def facts(self, method: str, *arguments: Any) -> list[Any]:
        return [self.first(method, *arguments)]

    def first(self, method: str, *arguments: Any) -> Any:
        return getattr(self.member, method)(*arguments)

    def serve(self, arrival_s: np.ndarray, rules: tuple[BatchRule, ...], router: str, limit_s: float) -> RunLog:
        batches = self.member.serve(arrival_s, np.arange(len(arrival_s)), rules[0], limit_s)
        stage = StageLog((batches,), np.zeros(len(arrival_s), np.uint8))
        return RunLog(arrival_s, (self.member.units,), (stage,)).answered()


@contextmanager
def _alone(job: JobPlan, folder: Path, cores: list[int]) -> Iterator[Team]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    team = _Alone(job, folder)
    try:
        yield team
    finally:
        team.member.model.close()
        os.sched_setaffinity(0, before)


class _Together:
    """Processes with a model each; this one routes, or waits."""

    def __init__(self, job: JobPlan, folder: Path, gpus: list[str], cores: list[int]) -> None:
        self.job = job
        context = multiprocessing.get_context("spawn")
        self.stages = [stage for stage in range(len(job.models)) for _ in range(job.replicas)]
        self.inboxes = [Queue(context, _MOST_REQUESTS) for _ in self.stages]
        self.pipes: list[Connection] = []
        self.processes = []
        shares = _core_shares(job, cores)
        for number, stage in enumerate(self.stages):
            mine, theirs = context.Pipe()
            outbox = self.inboxes[number + 1] if stage + 1 < len(job.models) else None
            inbox, own = self.inboxes[number], str(folder / f"stage{stage}")
            orders = (job, stage, own, inbox, outbox, shares[number], cores, theirs)
            if gpus:
                os.environ["CUDA_VISIBLE_DEVICES"] = gpus[number if job.gpus > 1 else 0]
            process = context.Process(target=_work, args=orders)
            process.start()
            theirs.close()
            self.pipes.append(mine)
            self.processes.append(process)

    def profile(self) -> list[dict[str, Any]]:
        first = [self.stages.index(stage) for stage in range(len(self.job.models))]
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda number: self._ask(number, "profile"), first))

    def load(self) -> list[dict[str, Any]]:
        """One after the other, so that each has the disk to itself."""
        return [self._ask(number, "load") for number in range(len(self.pipes))]

    def facts(self, method: str, *arguments: Any) -> list[Any]:
        for number in range(len(self.pipes)):
            self._order(number, method, *arguments)
        return [self._answer(number) for number in range(len(self.pipes))]

    def first(self, method: str, *arguments: Any) -> Any:
        return self._ask(0, method, *arguments)

    def serve(self, arrival_s: np.ndarray, rules: tuple[BatchRule, ...], router: str, limit_s: float) -> RunLog:
        for inbox in self.inboxes:
            inbox.clear()
        replicas, routes = self.job.replicas, self.job.router_process
        ids = np.arange(len(arrival_s))
        for number, stage in enumerate(self.stages):
            share = ids[number::replicas] if stage == 0 and not routes else ids[:0]
            due_s = arrival_s[share] if stage == 0 and not routes else None
            self._order(number, "serve", due_s, share, rules[stage], limit_s)
        for number in range(len(self.stages)):
            self._answer(number)  # it is ready
        origin_s = time.perf_counter() + _LEAD_S
        for pipe in self.pipes:
            pipe.send(origin_s)
        if routes:
            with without_collector():
                chosen = route(arrival_s, self.inboxes[:replicas], router, WallClock(origin_s), limit_s)
        else:
            chosen = (ids % replicas).tolist()
        batches, longest_s = [], _PATIENCE_S + min(limit_s, _LONGEST_S)
        for number, stage in enumerate(self.stages):
            if number % replicas == 0:  # all that fill this stage's inboxes have answered
                for inbox in self.inboxes[stage * replicas : (stage + 1) * replicas]:
                    inbox.close()
            batches.append(self._answer(number, longest_s))
        handed_over = len(chosen)
        logs = [StageLog(tuple(batches[:replicas]), np.array(chosen, np.uint8))]
        logs += [StageLog((each,), np.zeros(handed_over, np.uint8)) for each in batches[replicas:]]
        units = tuple(model.request_units for model in self.job.models)
        return RunLog(arrival_s[:handed_over], units, tuple(logs)).answered()

    def _order(self, number: int, method: str, *arguments: Any) -> None:
        self.pipes[number].send((method, arguments))

    def _ask(self, number: int, method: str, *arguments: Any) -> Any:
        self._order(number, method, *arguments)
        return self._answer(number)

    def _answer(self, number: int, patience_s: float = _PATIENCE_S) -> Any:
        try:
            if not self.pipes[number].poll(patience_s):
                raise TeamError(f"process {number} did not answer in time")
            failed, answer = self.pipes[number].recv()
        except (EOFError, OSError):
            self.processes[number].join(1.0)
            raise TeamError(f"process {number} ended with code {self.processes[number].exitcode}") from None
        if failed:
            raise TeamError(f"process {number}: {answer}")
        return answer

    def close(self) -> None:
        for pipe in self.pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
        patient_until_s = time.perf_counter() + _CLOSING_S
        for process in self.processes:
            process.join(max(0.0, patient_until_s - time.perf_counter()))
            if process.is_alive():
                process.kill()
                process.join()


@contextmanager
def _together(job: JobPlan, folder: Path, gpus: list[str], cores: list[int]) -> Iterator[Team]:
    team = _Together(job, folder, gpus, cores)
    try:
        if job.router_process:
            os.sched_setaffinity(0, cores[:1])
        yield team
    finally:
        team.close()


def _core_shares(job: JobPlan, cores: list[int]) -> list[list[int]]:
    """Cores of each process: equal shares of what the router leaves."""
    left = cores[1:] if job.router_process else cores
    each = len(left) // job.processes
    if each == 0:
        problem = f"{len(cores)} cores are too few for {job.processes} processes and their router"
        raise InputError(f"job {job.name}", problem, "give it more, or take router_process: false")
    return [left[number * each : (number + 1) * each] for number in range(job.processes)]


def _work(
    job: JobPlan,
    stage: int,
    folder: str,
    inbox: Queue,
    outbox: Queue | None,
    cores: list[int],
    all_cores: list[int],
    pipe: Connection,
) -> None:
    """A member's process: do what it is told until told to stop."""
    end_with_parent()
    try:
        os.sched_setaffinity(0, cores)
        member = Member(job, stage, Path(folder), inbox, outbox)
        while (order := pipe.recv()) is not None:
            method, arguments = order
            answer: Any
            if method == "profile" and job.interference_s > 0:
                os.sched_setaffinity(0, all_cores)  # it pins replicas beside one another to cores of their own
                answer = member.profile()
                os.sched_setaffinity(0, cores)
            elif method == "serve":
                with without_collector():
                    pipe.send((False, None))
                    due_s, ids, rule, limit_s = arguments
                    answer = member.serve(due_s, ids, rule, limit_s, origin_s=pipe.recv())
            else:
                answer = getattr(member, method)(*arguments)
            pipe.send((False, answer))
    except (EOFError, KeyboardInterrupt):
        return
    except Exception as error:
        if os.environ.get("RECFLEET_DEBUG", "") not in ("", "0"):
            traceback.print_exc()
        pipe.send((True, "".join(traceback.format_exception_only(error)).strip()[:500]))
