"""What to profile, and how long to look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workloads.errors import InputError

__all__ = ["COMPILED_MODES", "GRAPH_MODES", "MODES", "PRECISIONS", "QUANTILE_LEVELS", "ProfileSettings"]

PRECISIONS = ("fp32", "bf16")
MODES = ("eager", "compiled", "cuda_graph", "compiled_graph")
COMPILED_MODES = ("compiled", "compiled_graph")
GRAPH_MODES = ("cuda_graph", "compiled_graph")
DEVICE_KINDS = ("cpu", "cuda")
# fmt: off
QUANTILE_LEVELS = (
    0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0,
)
# fmt: on


@dataclass(frozen=True)
class ProfileSettings:
    """One profile to make.

    Attributes
    ----------
    model, config
        The model's name, which may be empty where a model folder gives it; its configuration, or None for the default
        size.
    device_kind, precision, mode
        ``cpu`` or ``cuda``; ``fp32``, ``bf16``, or empty for that of the model folder (fp32 without one); ``eager``,
        ``compiled``, ``cuda_graph`` or ``compiled_graph`` (compiled, then captured).
    batch_sizes
        Rising sizes; empty for the default ones and those that `workloads.profiler.refining` adds.
    timing_s
        Time to spend on timings, shared evenly among the sizes within the bounds on runs.
    fewest_runs, most_runs
        Bounds on the timings of one size.
    threads
        Threads of one operator on the host; 0 for every core on a CPU and for one beside a CUDA device.
    patience_s
        On a CPU, time that may be spent waiting for other work on the machine to stop. When above 0, timings beside
        other work count as disturbed even where this process did not wait for a core.
    seed
        Seed of weights, inputs and the order of timings.
    weights_folder
        Where random weights are kept between profiles; None for a temporary folder.
    model_folder
        A trained or compressed model to profile as it was saved; None for random weights at the default size.
    method
        How to compress the drawn weights first, without data, as `workloads.compression.compress` names it; empty for
        not at all.
    name
        The profile's name; empty for one made of model, device, precision and mode.
    replicas
        How many replicas to run at once on the one device, for each count a measurement of their interference.
    interference_s
        Time in all for measuring interference.
    roofline
        Whether to measure the device's ceilings and compare each size with them.
    power
        Whether to measure the power of a CUDA device.
    """

    model: str
    device_kind: str
    precision: str = ""
    mode: str = "eager"
    batch_sizes: tuple[int, ...] = ()
    timing_s: float = 60.0
    fewest_runs: int = 30
    most_runs: int = 3000
    threads: int = 0
    patience_s: float = 0.0
    seed: int = 20_261
    config: Any = None
    weights_folder: Path | None = None
    model_folder: Path | None = None
    method: str = ""
    name: str = ""
    replicas: tuple[int, ...] = ()
    interference_s: float = 30.0
    roofline: bool = False
    power: bool = True

    def __post_init__(self) -> None:
        _one_of("--device", self.device_kind, DEVICE_KINDS)
        may_be_int8 = self.model_folder is not None or bool(self.method)
        if self.precision and not (self.precision == "int8" and may_be_int8):
            _one_of("--precision", self.precision, PRECISIONS)
        _one_of("--mode", self.mode, MODES)
        if self.mode in GRAPH_MODES and self.device_kind != "cuda":
            raise InputError("--mode", f"{self.mode} needs --device cuda", "use eager or compiled on a CPU")
        if not self.model and self.model_folder is None:
            raise InputError("model", "no model is given", "name a model, or give --model-folder")
        self._check_sizes()
        self._check_times()

    def _check_sizes(self) -> None:
        if any(later <= earlier for earlier, later in zip(self.batch_sizes, self.batch_sizes[1:])):
            raise InputError("--sizes", f"{list(self.batch_sizes)} do not rise", "give sizes in rising order")
        if self.batch_sizes and self.batch_sizes[0] < 1:
            raise InputError("--sizes", f"{self.batch_sizes[0]} is no batch size", "give whole numbers from 1 up")
        if self.threads < 0:
            raise InputError("--threads", f"{self.threads} is negative", "give a number of threads")
        cores = len(os.sched_getaffinity(0))
        if self.threads > cores:
            raise InputError("--threads", f"{self.threads} is more than the {cores} cores here", "give at most that")
        if any(not 2 <= count <= 16 for count in self.replicas):
            raise InputError("--replicas", f"{list(self.replicas)} are not counts from 2 to 16", "write it as 2,3")
        if any(later <= earlier for earlier, later in zip(self.replicas, self.replicas[1:])):
            raise InputError("--replicas", f"{list(self.replicas)} do not rise", "give counts in rising order")

    def _check_times(self) -> None:
        if not 2 <= self.fewest_runs <= self.most_runs:
            raise InputError(
                "--fewest-runs",
                f"{self.fewest_runs} is not between 2 and {self.most_runs}",
                "give such a number",
            )
        for option, seconds in (("--timing-s", self.timing_s), ("--interference-s", self.interference_s)):
            if not seconds > 0:
                raise InputError(option, f"{seconds:g} is no time", "give a number of seconds above 0")

    def command(self) -> str:
        """The command that makes this profile."""
        if self.model_folder is not None:
            words = ["recfleet profile --model-folder", self.model_folder.name]
        else:
            words = ["recfleet profile", self.model]
        words += ["--method", self.method] if self.method else []
        words += ["--device", self.device_kind]
        if self.precision:
            words += ["--precision", self.precision]
        words += ["--mode", self.mode]
        if self.batch_sizes:
            words += ["--sizes", ",".join(str(size) for size in self.batch_sizes)]
        words += ["--timing-s", f"{self.timing_s:g}", "--fewest-runs", str(self.fewest_runs)]
        if self.threads:
            words += ["--threads", str(self.threads)]
        if self.patience_s:
            words += ["--patience-s", f"{self.patience_s:g}"]
        if self.replicas:
            words += ["--replicas", ",".join(map(str, self.replicas)), "--interference-s", f"{self.interference_s:g}"]
        words += ["--roofline"] if self.roofline else []
        words += ["--no-power"] if not self.power and self.device_kind == "cuda" else []
        words += ["--name", self.name] if self.name else []
        return " ".join([*words, "--seed", str(self.seed)])

    def host_threads(self) -> int:
        """Threads of one operator, the default resolved."""
        if self.threads:
            return self.threads
        return 1 if self.device_kind == "cuda" else len(os.sched_getaffinity(0))


def _one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(where, f"{value!r} is not known", f"use one of {', '.join(allowed)}")
