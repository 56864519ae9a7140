"""How far a server will be from its prediction: told by other jobs, and by what this one has already done.

A run's *offset* is the logarithm of what its batches took over what the prediction takes them to take. The offsets of
other jobs' runs say how far a machine goes in the minutes after its profile, or its calibration; their root mean square
is the drift by which `simulator.fidelity.comparison.Spread` widens the interval of a job that is not among them. Who
recalibrates after every run knows the offsets of the runs before, too (`drift_so_far`); no interval knows of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from simulator.fidelity.calibration import Calibration, batches_of, factor_of
from simulator.fidelity.comparison import LEAST_DRIFT
from simulator.fidelity.server_logs import JobLog, calibrate_job, calibrations_in_turn

__all__ = ["drift_of_others", "drift_so_far", "offsets"]

_PRIOR_RUNS = 3
"""What other jobs tell counts as so many runs of this one."""
_STEADY_DRIFT = 0.003
"""No machine has been seen to be steadier from run to run."""


def offsets(log: JobLog) -> dict[str, list[float]]:
    """Offsets of a job's runs held out, by kind of prediction: ``profile`` (alone), ``assembly`` (with the measured
    assembly of batches), ``calibrated`` and ``recalibrated`` (after every run).

    One replica only: `InputError` otherwise, or where there is nothing to calibrate on.
    """
    fitted = calibrate_job(log)
    found: dict[str, list[float]] = {"profile": [], "assembly": [], "calibrated": [], "recalibrated": []}
    for run, latest in calibrations_in_turn(log, fitted):
        if not run.plan.held_out:
            continue
        batches = batches_of(run.name, run.log.requests())
        whole, alone = (log.stages(run.plan, assembly)[0] for assembly in (True, False))
        found["profile"].append(float(np.log(factor_of(alone, batches, 0.0))))
        found["assembly"].append(float(np.log(factor_of(whole, batches, whole.table.cold_s))))
        served = float(np.log(factor_of(whole, batches, fitted.cold_s)))
        found["calibrated"].append(served - _log(fitted))
        found["recalibrated"].append(served - _log(latest))
    return found


def _log(calibration: Calibration) -> float:
    return float(np.log(calibration.factor))


def drift_of_others(of_jobs: Mapping[str, Sequence[float]], job: str) -> float:
    """Root mean square of the offsets of all jobs but one, each job counted alike; at least `LEAST_DRIFT`."""
    others = [float(np.mean(np.square(values))) for name, values in of_jobs.items() if name != job]
    return max(LEAST_DRIFT, float(np.sqrt(np.mean(others)))) if others else LEAST_DRIFT


def drift_so_far(others: float, own: Sequence[float]) -> float:
    """The drift that the next run of a job is predicted with: that of others, and the job's own offsets until now."""
    squares = _PRIOR_RUNS * others**2 + float(np.sum(np.square(own)))
    return max(_STEADY_DRIFT, float(np.sqrt(squares / (_PRIOR_RUNS + len(own)))))
