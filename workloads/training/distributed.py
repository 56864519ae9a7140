"""Data-parallel training: processes that hold a network each and average gradients (gloo on CPUs, NCCL on GPUs)."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from workloads.errors import InputError, RecfleetError
from workloads.training.checkpoints import copy_of_weights
from workloads.training.running import fit_in_team
from workloads.training.settings import TrainSettings
from workloads.training.task import FitResult, Progress, Task
from workloads.training.team import Team

if TYPE_CHECKING:
    from torch.multiprocessing.spawn import ProcessContext

__all__ = ["fit_in_processes", "is_leader", "leave_team", "team_of_environment"]

_TIMEOUT = timedelta(hours=1)
_LOOK_EVERY_S = 0.1
_GRACE_S = 30.0
_RESULT, _ERROR = "result.pt", "error.pickle"


@dataclass(frozen=True, eq=False)
class _Order:
    """What a process that is started gets to know."""

    task: Task
    module: str
    weights: dict[str, torch.Tensor] | None
    folder: Path
    threads: int


def fit_in_processes(task: Task, network: nn.Module | None, progress: Callable[[Progress], None] | None) -> FitResult:
    """Start the processes, pass on what the leading one tells, take its result.

    Raises
    ------
    RecfleetError
        The first that a process met; the others are ended.
    KeyboardInterrupt
        After Ctrl-C, once the processes have written their checkpoint.
    """
    settings = task.settings
    _check_devices(settings)
    with tempfile.TemporaryDirectory(prefix="recfleet-train-") as name:
        folder = Path(name)
        threads = max(1, torch.get_num_threads() // settings.processes)
        weights = None if network is None else copy_of_weights(network)
        # Modules cannot be pickled: the name goes instead.
        order = _Order(replace(task, module=None), task.module.__name__, weights, folder, threads)  # type: ignore[arg-type, attr-defined]
        told: Any = mp.get_context("spawn").Queue()
        context = mp.spawn(_process, (order, told), nprocs=settings.processes, join=False)
        assert context is not None
        _join(context, told, progress, folder)
        held = torch.load(folder / _RESULT, weights_only=False)
    if network is None:
        with torch.random.fork_rng(devices=[]):
            network = task.module.build(task.config)
    network.load_state_dict(held["weights"])
    result: FitResult = held["result"]
    data = task.data.with_validation_in_training() if result.refit else task.data
    return replace(result, network=network.to(settings.device).eval(), data=data)


def team_of_environment(settings: TrainSettings) -> Team | None:
    """The team that torchrun started this process in, its process group made; None where there is none.

    Raises
    ------
    InputError
        torchrun started another number of processes than the settings ask for.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return None
    processes = int(os.environ["WORLD_SIZE"])
    if settings.processes != processes:
        problem = f"is {settings.processes}, but torchrun started {processes}"
        raise InputError("--processes", problem, f"give --processes {processes}")
    team = Team(int(os.environ["RANK"]), processes, int(os.environ.get("LOCAL_RANK", "0")))
    if processes > 1 and not dist.is_initialized():
        _join_group(team, settings, "env://")
    return team


def is_leader() -> bool:
    """Whether this process is to evaluate and write: not, where torchrun started it behind another."""
    return os.environ.get("RANK", "0") == "0"


def leave_team() -> None:
    """End the process group that torchrun's processes share; without one, nothing."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _check_devices(settings: TrainSettings) -> None:
    if settings.device.partition(":")[0] == "cuda" and torch.cuda.device_count() < settings.processes:
        problem = f"is {settings.processes}, but torch sees {torch.cuda.device_count()} CUDA devices"
        raise InputError("--processes", problem, "give one process for each GPU")


def _join_group(team: Team, settings: TrainSettings, where: str) -> None:
    on_gpu = settings.device.partition(":")[0] == "cuda"
    if on_gpu:
        torch.cuda.set_device(team.local_rank)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        init_method=where,
        rank=team.rank,
        world_size=team.processes,
        timeout=_TIMEOUT,
    )


def _process(rank: int, order: _Order, told: Any) -> None:
    """What runs in each process that was started."""
    import importlib

    settings = order.task.settings
    torch.set_num_threads(order.threads)
    team = Team(rank, settings.processes, rank)
    with _errors_told(order.folder, rank), _group(team, settings, order.folder):
        module: Any = importlib.import_module(order.module)
        task = replace(order.task, module=module)
        network = None
        if order.weights is not None:
            network = module.build(task.config)
            network.load_state_dict(order.weights)
        result = fit_in_team(task, network, team, told.put if team.leads else None)
        if team.leads:
            held = {
                "weights": copy_of_weights(result.network),
                "result": replace(result, network=None, data=None),  # type: ignore[arg-type]
            }
            torch.save(held, order.folder / _RESULT)
        team.wait()


@contextlib.contextmanager
def _group(team: Team, settings: TrainSettings, folder: Path) -> Iterator[None]:
    _join_group(team, settings, f"file://{folder / 'group'}")
    yield
    dist.destroy_process_group()


@contextlib.contextmanager
def _errors_told(folder: Path, rank: int) -> Iterator[None]:
    """Leave an error of ours where the starting process finds it."""
    try:
        yield
    except RecfleetError as error:
        draft = folder / f"{_ERROR}.{rank}"
        draft.write_bytes(pickle.dumps(error))
        with contextlib.suppress(OSError):
            os.link(draft, folder / _ERROR)  # the first one stays
        raise


def _join(context: ProcessContext, told: Any, progress: Callable[[Progress], None] | None, folder: Path) -> None:
    """Wait for all processes, passing on progress; leave none behind."""
    try:
        while not context.join(timeout=_LOOK_EVERY_S, grace_period=1.0):
            _pass_on(told, progress)
        _pass_on(told, progress)
    except (ProcessRaisedException, ProcessExitedException) as failure:
        if (folder / _ERROR).is_file():
            raise pickle.loads((folder / _ERROR).read_bytes()) from None
        raise RuntimeError(f"a training process failed: {_last_line(failure)}") from failure
    except KeyboardInterrupt:
        _let_finish(context, told)
        raise
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()
            process.join()
    if not (folder / _RESULT).is_file():
        raise KeyboardInterrupt  # the processes were interrupted, this one was not


def _let_finish(context: ProcessContext, told: Any) -> None:
    """After Ctrl-C, let the processes end their step and write a checkpoint."""
    for process in context.processes:
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGINT)
    until_s = time.monotonic() + _GRACE_S
    while time.monotonic() < until_s and any(process.is_alive() for process in context.processes):
        _pass_on(told, None)
        time.sleep(_LOOK_EVERY_S)


def _pass_on(told: Any, progress: Callable[[Progress], None] | None) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            event = told.get_nowait()
            if progress is not None:
                progress(event)


def _last_line(failure: Exception) -> str:
    return str(failure).strip().splitlines()[-1]
