"""Jobs over worker processes; each finished job is a file, from which an interrupted comparison goes on."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recfleet.jobs import Job, Runner
from recfleet.progress import Listener
from recfleet.run_record import RunRecord, load_record, save_record
from workloads.errors import RecfleetError

if TYPE_CHECKING:
    from simulator.scenario import Scenario

__all__ = ["default_workers", "run_jobs"]

_POLL_S = 0.1
_REPORT_STEP = 0.01
_END_S = 5.0


def default_workers(jobs: int) -> int:
    """As many as there are cores to use, and no more than there are jobs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, jobs))


def run_jobs(
    scenario: Scenario, jobs: Sequence[Job], folder: Path, workers: int, runner: Runner, listener: Listener
) -> list[RunRecord]:
    """Run what ``folder`` does not already hold; records in the order of ``jobs``.

    Raises
    ------
    RecfleetError
        A policy or input failed, or a worker process died; finished jobs stay in ``folder``.
    """
    listener.begin([f"{job.label}, seed {job.seed}" for job in jobs])
    kept = {job.index: record for job in jobs if (record := load_record(_path(folder, job))) is not None}
    for index in kept:
        listener.finish(index, kept=True)
    missing = [job for job in jobs if job.index not in kept]
    if missing and workers > 1 and len(missing) > 1:
        _run_in_processes(scenario, missing, folder, min(workers, len(missing)), runner, listener)
    else:
        for job in missing:
            report = _throttled(lambda fraction, job=job: listener.advance(job.index, fraction))  # type: ignore[misc]
            save_record(runner(scenario, job, report), _path(folder, job))
            listener.finish(job.index, kept=False)
    return [kept.get(job.index) or _read_back(folder, job) for job in jobs]


def _path(folder: Path, job: Job) -> Path:
    return folder / f"{job.key}.npz"


def _read_back(folder: Path, job: Job) -> RunRecord:
    record = load_record(_path(folder, job))
    if record is None:
        raise RecfleetError(f"{_path(folder, job)}: written by this run and not readable; is the disk full?")
    return record


def _run_in_processes(
    scenario: Scenario, jobs: Sequence[Job], folder: Path, workers: int, runner: Runner, listener: Listener
) -> None:
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    executor = ProcessPoolExecutor(workers, context, _start_worker, (scenario, str(folder), runner, reports))
    with _stopped_on_error(executor):
        running: dict[Future[None], Job] = {executor.submit(_work, job): job for job in jobs}
        while running:
            done, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for index, fraction in _drain(reports):
                listener.advance(index, fraction)
            for future in sorted(done, key=lambda future: running[future].index):
                job = running.pop(future)
                future.result()
                listener.finish(job.index, kept=False)


@contextmanager
def _stopped_on_error(executor: ProcessPoolExecutor) -> Iterator[None]:
    """End the workers at once if anything goes wrong, an interrupt included."""
    others = set(multiprocessing.active_children())
    try:
        yield
        executor.shutdown()
    except BaseException as error:
        executor.shutdown(wait=False, cancel_futures=True)
        workers = set(multiprocessing.active_children()) - others
        for process in workers:
            process.terminate()
        for process in workers:
            process.join(_END_S)
        if isinstance(error, BrokenProcessPool):
            raise RecfleetError(
                "a worker process ended before its run did, most often for want of memory; run again with "
                "--workers 1 (finished runs are kept)"
            ) from error
        raise


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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = (scenario, Path(folder), runner, reports)


def _end_with_parent() -> None:
    """A parent that was killed ends no worker, and a worker would wait for its next job for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(job: Job) -> None:
    scenario, folder, runner, reports = _worker
    report = _throttled(lambda fraction: reports.put((job.index, fraction)))
    save_record(runner(scenario, job, report), _path(folder, job))
