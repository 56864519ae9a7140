"""What to profile, and how long to look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workloads.errors import InputError

__all__ = ["PRECISIONS", "QUANTILE_LEVELS", "ProfileSettings", "default_batch_sizes"]

PRECISIONS = ("fp32", "bf16")
MODES = ("eager", "cuda_graph")
DEVICE_KINDS = ("cpu", "cuda")
# fmt: off
QUANTILE_LEVELS = (
    0.0, 0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0,
)
# fmt: on
_LARGEST_BATCH = {
    ("two_tower", "cpu"): 128,
    ("two_tower", "cuda"): 1024,
    ("dlrm", "cpu"): 2048,
    ("dlrm", "cuda"): 32768,
    ("bert_reranker", "cpu"): 16,
    ("bert_reranker", "cuda"): 512,
}


@dataclass(frozen=True)
class ProfileSettings:
    """One profile to make.

    Attributes
    ----------
    model, config
        The model's name; its configuration, or None for the default size.
    device_kind, precision, mode
        ``cpu`` or ``cuda``; ``fp32`` or ``bf16``; ``eager`` or ``cuda_graph``.
    batch_sizes
        Rising sizes; empty for the default powers of two.
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
        Where weights are kept between profiles; None for a temporary folder.
    """

    model: str
    device_kind: str
    precision: str = "fp32"
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

    def __post_init__(self) -> None:
        _one_of("--device", self.device_kind, DEVICE_KINDS)
        _one_of("--precision", self.precision, PRECISIONS)
        _one_of("--mode", self.mode, MODES)
        if self.mode == "cuda_graph" and self.device_kind != "cuda":
            raise InputError("--mode", "cuda_graph needs --device cuda", "use --mode eager on a CPU")
        if any(later <= earlier for earlier, later in zip(self.batch_sizes, self.batch_sizes[1:])):
            raise InputError("--sizes", f"{list(self.batch_sizes)} do not rise", "give sizes in rising order")
        if self.batch_sizes and self.batch_sizes[0] < 1:
            raise InputError("--sizes", f"{self.batch_sizes[0]} is no batch size", "give whole numbers from 1 up")
        if not 2 <= self.fewest_runs <= self.most_runs:
            raise InputError(
                "--fewest-runs",
                f"{self.fewest_runs} is not between 2 and {self.most_runs}",
                "give such a number",
            )
        if not self.timing_s > 0:
            raise InputError("--timing-s", f"{self.timing_s:g} is no time", "give a number of seconds above 0")
        if self.threads < 0:
            raise InputError("--threads", f"{self.threads} is negative", "give a number of threads")

    def command(self) -> str:
        """The command that makes this profile."""
        words = ["recfleet profile", self.model, "--device", self.device_kind]
        words += ["--precision", self.precision, "--mode", self.mode]
        if self.batch_sizes:
            words += ["--sizes", ",".join(str(size) for size in self.batch_sizes)]
        words += ["--timing-s", f"{self.timing_s:g}", "--fewest-runs", str(self.fewest_runs)]
        if self.threads:
            words += ["--threads", str(self.threads)]
        if self.patience_s:
            words += ["--patience-s", f"{self.patience_s:g}"]
        return " ".join([*words, "--seed", str(self.seed)])

    def host_threads(self) -> int:
        """Threads of one operator, the default resolved."""
        if self.threads:
            return self.threads
        return 1 if self.device_kind == "cuda" else len(os.sched_getaffinity(0))


def default_batch_sizes(model: str, device_kind: str) -> tuple[int, ...]:
    """Powers of two up to the largest batch that makes sense for the model there."""
    largest = _LARGEST_BATCH.get((model, device_kind), 64)
    return tuple(2**power for power in range(largest.bit_length()))


def _one_of(where: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(where, f"{value!r} is not known", f"use one of {', '.join(allowed)}")
