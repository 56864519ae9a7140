"""From files, or from a server run here, to a comparison of measured and predicted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workloads.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from simulator.fidelity.comparison import Comparison, Spread
    from simulator.fidelity.setup import ServedStage
    from workloads.profile import ModelProfile
    from workloads.server.log import RequestLog
    from workloads.server.plan import ModelPlan

__all__ = ["Uncertainty", "Validated", "validate_live", "validate_log"]

_POINT_RUNS = 10


@dataclass(frozen=True)
class Uncertainty:
    """Predictions behind the intervals, the drift between runs (None: the profile's), and the seed of all draws."""

    replicates: int = 100
    drift: float | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Validated:
    """A comparison, the log it is of, and the words that say what was compared."""

    comparison: Comparison
    log: RequestLog
    title: str
    about: dict[str, Any]

    def as_document(self) -> dict[str, Any]:
        """``measured``, ``predicted``, ``error``, ``low``, ``high`` by metric, and ``about`` what they are of."""
        return {**self.comparison.as_document(), "about": self.about}


def validate_log(
    profile_name: str,
    path: Path,
    rule: tuple[int, float],
    replicas: int,
    router: str,
    shared: bool,
    uncertainty: Uncertainty,
    calibration: Path | None,
    quiet: bool,
) -> Validated:
    """Predict the requests of a log in a file; ``rule`` is the cap in units and the longest wait in seconds."""
    from simulator.fidelity.comparison import compare
    from simulator.fidelity.log_file import read_log
    from simulator.fidelity.setup import served_stage
    from workloads.profile import load_profile

    profile = load_profile(profile_name)
    stage = served_stage(profile, *rule, replicas, router, shared)
    logged = read_log(path, rule[0], replicas)
    spread = _spread(profile, rule[0], uncertainty)
    applied: dict[str, Any] = {}
    if calibration is not None:
        stage, spread, applied = _calibrated(stage, spread, uncertainty, profile.name, calibration, path)
    with _progress(spread.replicates + spread.point_runs, quiet) as advance:
        comparison = compare(logged.log, [stage], spread, logged.items, advance)
    title = f"{path.name}, {len(logged.log.arrival_s):,} requests, predicted from {profile.name}"
    if applied:
        title += ", calibrated" + (" on this very log: no test of it" if applied["in_sample"] else "")
    about = _about(profile, rule, replicas, spread, len(logged.log.arrival_s))
    return Validated(comparison, logged.log, title, about | applied)


def _calibrated(
    stage: ServedStage, spread: Spread, uncertainty: Uncertainty, profile: str, path: Path, log: Path
) -> tuple[ServedStage, Spread, dict[str, Any]]:
    """Stage and spread with a calibration applied, and what is told of it."""
    from dataclasses import replace

    from simulator.fidelity.calibration_file import read_calibration
    from simulator.fidelity.comparison import CALIBRATED_DRIFT
    from workloads.atomic_files import file_sha256

    found = read_calibration(path)
    if found.name != profile:
        raise InputError(f"--calibration {path}", f"is of {found.name}, not of {profile}", "give one of this profile")
    if found.assembly:
        problem = "was fitted beside a server's own assembly of batches"
        raise InputError(f"--calibration {path}", problem, "use it with --server-log, or fit one on a log")
    if uncertainty.drift is None:
        # One log tells nothing of how far the next one is: then it is as far as the profile says.
        own = CALIBRATED_DRIFT if len(found.fitted_on) > 1 else max(CALIBRATED_DRIFT, spread.drift)
        spread = replace(spread, drift=max(own, found.drift))
    told = {"calibration": str(path), "factor": found.factor, "in_sample": file_sha256(log) in found.fitted_on.values()}
    return found.mended(stage), spread, told


def validate_live(
    plan: ModelPlan,
    arrival_s: np.ndarray,
    max_batch: int,
    max_wait_s: float,
    profile_s: float,
    uncertainty: Uncertainty,
    keep: Path | None,
    quiet: bool,
) -> Validated:
    """Profile and serve a model here and now, and predict that; assembly of batches counts as it was measured."""
    import numpy as np

    from simulator.fidelity.comparison import compare
    from simulator.fidelity.log_file import write_log
    from simulator.fidelity.setup import served_stage, with_assembly
    from workloads.models import model_module
    from workloads.profile import profile_from_document, save_profile
    from workloads.profiler import import_profiler
    from workloads.server.batching import BatchRule

    if max_batch < 1:
        raise InputError("--max-batch", f"{max_batch} is no batch", "give a whole number from 1 up")
    if not (np.isfinite(max_wait_s) and max_wait_s >= 0.0):
        raise InputError("--max-wait-ms", f"{1e3 * max_wait_s:g} is no time", "give milliseconds from 0 up")
    if not profile_s > 0.0:
        raise InputError("--profile-s", f"{profile_s:g} is no time", "give seconds above 0")
    model_module(plan.model)
    import_profiler()
    from workloads.server.live import serve_live

    with tempfile.TemporaryDirectory(prefix="recfleet-validate-") as folder, _words(quiet) as tell:
        run = serve_live(plan, BatchRule(max_batch, max_wait_s), arrival_s, Path(folder), profile_s, tell)
    log, profile = run.log.requests(), profile_from_document(run.profile)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        save_profile(run.profile, keep / "profile.json")
        write_log(keep / "log.parquet", log, plan.request_units)
    cap = min(max_batch, int(profile.batch_sizes[-1]))  # no batch is larger than whole requests fill it
    stage = with_assembly(served_stage(profile, cap, max_wait_s), run.assembly)
    spread = _spread(profile, cap, uncertainty)
    items = np.full(len(log.arrival_s), plan.request_units)
    with _progress(spread.replicates + spread.point_runs, quiet) as advance:
        comparison = compare(log, [stage], spread, items if profile.unit == "items" else None, advance)
    title = f"{plan.model} served here, {len(log.arrival_s):,} requests, predicted from its profile"
    about = _about(profile, (cap, max_wait_s), 1, spread, len(log.arrival_s))
    return Validated(comparison, log, title, about | {"assembly_s": run.assembly["mean_s"]})


def _spread(profile: ModelProfile, max_batch: int, uncertainty: Uncertainty) -> Spread:
    from simulator.fidelity.comparison import SERVED_DRIFT, Spread, drift_of

    own = max(SERVED_DRIFT, drift_of(profile, max_batch))
    drift = own if uncertainty.drift is None else uncertainty.drift
    return Spread(drift, uncertainty.replicates, _POINT_RUNS, uncertainty.seed)


def _about(
    profile: ModelProfile, rule: tuple[int, float], replicas: int, spread: Spread, requests: int
) -> dict[str, Any]:
    return {
        "profile": profile.name,
        "device": profile.device,
        "requests": requests,
        "max_batch": rule[0],
        "max_wait_ms": 1e3 * rule[1],
        "replicas": replicas,
        "replicates": spread.replicates,
        "drift": spread.drift,
        "seed": spread.seed,
    }


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error while predictions are made."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as display:
        task = display.add_task("predicting (compiling the simulator at the first)", total=total)
        yield lambda: display.advance(task)


@contextmanager
def _words(quiet: bool) -> Iterator[Callable[[str], None]]:
    """What is being done, on standard error: a bar that redraws itself would take time from the server."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, quiet=quiet)
    yield lambda text: console.print(text, markup=False)
