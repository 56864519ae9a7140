"""What a study compares, and how long it looks. Needs no torch."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass

from workloads.compression.methods import METHODS, steps_of
from workloads.errors import InputError

__all__ = ["COMBINATIONS", "UNCHANGED", "StudySettings"]

COMBINATIONS = (
    "structured+int8-dynamic",
    "structured+bf16",
    "structured+int8-legacy",
    "magnitude+int8-dynamic",
    "bf16+embedding-int8",
)
_MODES = {"cpu": ("eager", "compiled"), "cuda": ("eager", "compiled", "cuda_graph", "compiled_graph")}
UNCHANGED = "none"
"""Stands for the model as it was trained."""


@dataclass(frozen=True)
class StudySettings:
    """What to compare, and how long to look.

    Attributes
    ----------
    methods
        Methods and combinations; the unchanged model is always among what is measured.
    device, modes
        Where latencies are measured, ``cpu`` or ``cuda``, and how; no modes for all that the device has.
    batch_sizes
        Rising.
    timing_s
        Time for the timings of one variant, mode and batch size.
    threads
        Threads of one operator on the host; 0 for every core on a CPU, and for one beside a GPU.
    latency_only
        Measure variants that are there already, and make none.
    budget_s
        Start no further measurement after so many seconds; what is missing is measured by the next run. 0 for no
        limit.
    """

    methods: tuple[str, ...] = METHODS + COMBINATIONS
    device: str = "cpu"
    modes: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    timing_s: float = 2.0
    threads: int = 0
    latency_only: bool = False
    budget_s: float = 0.0

    def __post_init__(self) -> None:
        if self.device not in _MODES:
            raise InputError("--device", f"{self.device!r} is not known", f"use {' or '.join(_MODES)}")
        for mode in self.modes:
            if mode not in _MODES[self.device]:
                fix = f"use {', '.join(_MODES[self.device])}"
                raise InputError("--modes", f"{mode!r} is not a mode of {self.device}", fix)
        for method in self.methods:
            steps_of(method)
        if not self.timing_s > 0:
            raise InputError("--timing-s", f"{self.timing_s:g} is no time", "give a number of seconds above 0")
        cores = len(os.sched_getaffinity(0))
        if self.threads > cores:
            raise InputError("--threads", f"{self.threads} is more than the {cores} cores here", "give at most that")
        rising = all(a < b for a, b in itertools.pairwise(self.batch_sizes))
        if not self.batch_sizes or self.batch_sizes[0] < 1 or not rising:
            problem = f"{list(self.batch_sizes)} are not rising whole numbers from 1 up"
            raise InputError("--sizes", problem, "write them as 1,8,32")

    def all_modes(self) -> tuple[str, ...]:
        """The modes to measure."""
        return self.modes or _MODES[self.device]

    def host_threads(self) -> int:
        """Threads of one operator, the default resolved."""
        return self.threads or (len(os.sched_getaffinity(0)) if self.device == "cpu" else 1)
