"""Jobs over worker processes; each finished job is a file, from which an interrupted comparison goes on."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recfleet.jobs import Job, Runner
from recfleet.progress import Listener
from recfleet.run_record import RunRecord, load_record, save_record
from workloads.errors import RecfleetError
from workloads.parent import end_with_parent

if TYPE_CHECKING:
    from simulator.scenario import Scenario

__all__ = ["JobPool", "default_workers", "open_pool", "run_jobs"]

_POLL_S = 0.1
_REPORT_STEP = 0.01
_END_S = 5.0


def default_workers(jobs: int) -> int:
    """As many as there are cores to use, and no more than there are jobs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, jobs))


class JobPool:
    """Runs jobs, batch after batch, in worker processes that stay; made by `open_pool`."""

    def __init__(self, scenario: Any, folder: Path, workers: int, runner: Any, listener: Listener) -> None:
        self._scenario, self._folder, self._workers = scenario, folder, workers
        self._runner, self._listener = runner, listener
        self._executor: ProcessPoolExecutor | None = None
        self._reports: Any = None

    def run(self, jobs: Sequence[Job]) -> list[RunRecord]:
        """Run what the folder does not already hold; records in the order of ``jobs``, whose indices are theirs."""
        self._listener.begin([f"{job.label}, seed {job.seed}" for job in jobs])
        kept = {job.index: record for job in jobs if (record := load_record(_path(self._folder, job))) is not None}
        for index in kept:
            self._listener.finish(index, kept=True)
        missing = [job for job in jobs if job.index not in kept]
        if missing and self._workers > 1 and (len(missing) > 1 or self._executor is not None):
            self._run_in_processes(missing)
        else:
            self._run_here(missing)
        return [kept.get(job.index) or _read_back(self._folder, job) for job in jobs]

    def _run_here(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            report = _throttled(lambda fraction, job=job: self._listener.advance(job.index, fraction))  # type: ignore[misc]
            save_record(self._runner(self._scenario, job, report), _path(self._folder, job))
            self._listener.finish(job.index, kept=False)

    def _run_in_processes(self, jobs: Sequence[Job]) -> None:
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._reports = context.Queue()
            common = (self._scenario, str(self._folder), self._runner, self._reports)
            self._executor = ProcessPoolExecutor(self._workers, context, _start_worker, common)
        running: dict[Future[None], Job] = {self._executor.submit(_work, job): job for job in jobs}
        while running:
            done, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for index, fraction in _drain(self._reports):
                self._listener.advance(index, fraction)
            for future in sorted(done, key=lambda future: running[future].index):
                job = running.pop(future)
                future.result()
                self._listener.finish(job.index, kept=False)

    def close(self) -> None:
        """End the workers when they are done."""
        if self._executor is not None:
            self._executor.shutdown()

    def abandon(self) -> None:
        """End the workers at once."""
        if self._executor is None:
            return
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_END_S)


@contextmanager
def open_pool(scenario: Any, folder: Path, workers: int, runner: Any, listener: Listener) -> Iterator[JobPool]:
    """Workers for as many batches of jobs as are wanted; each finished job stays in ``folder``.

    Raises
    ------
    RecfleetError
        A policy or input failed, or a worker process died; all workers are ended then, as on an interrupt.
    """
    pool = JobPool(scenario, folder, workers, runner, listener)
    try:
        yield pool
        pool.close()
    except BaseException as error:
        pool.abandon()
        if isinstance(error, BrokenProcessPool):
            raise RecfleetError(
                "a worker process ended before its run did, most often for want of memory; run again with "
                "--workers 1 (finished runs are kept)"
            ) from error
        raise


def run_jobs(
    scenario: Scenario, jobs: Sequence[Job], folder: Path, workers: int, runner: Runner, listener: Listener
) -> list[RunRecord]:
    """Run what ``folder`` does not already hold; records in the order of ``jobs``. Errors as of `open_pool`."""
    with open_pool(scenario, folder, min(workers, max(1, len(jobs))), runner, listener) as pool:
        return pool.run(jobs)


def _path(folder: Path, job: Job) -> Path:
    return folder / f"{job.key}.npz"


def _read_back(folder: Path, job: Job) -> RunRecord:
    record = load_record(_path(folder, job))
    if record is None:
        raise RecfleetError(f"{_path(folder, job)}: written by this run and not readable; is the disk full?")
    return record


def _drain(reports: Any) -> Iterator[tuple[int, float]]:
    try:
        while True:
            yield reports.get_nowait()
    except queue.Empty:
        return


def _throttled(report: Callable[[float], None]) -> Callable[[float], None]:
    last = -1.0

    def forward(fraction: float) -> None:
        nonlocal last
        if fraction - last >= _REPORT_STEP:
            last = fraction
            report(fraction)

    return forward


_worker: tuple[Any, Path, Runner, Any]


def _start_worker(scenario: Any, folder: str, runner: Runner, reports: Any) -> None:
    """In the worker process: keep what all its jobs need; leave interrupts to the parent, and end with it."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    _worker = (scenario, Path(folder), runner, reports)


def _work(job: Job) -> None:
    scenario, folder, runner, reports = _worker
    report = _throttled(lambda fraction: reports.put((job.index, fraction)))
    save_record(runner(scenario, job, report), _path(folder, job))
