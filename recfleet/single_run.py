"""One policy on one seed, without a comparison around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from recfleet.jobs import PolicySpec, build_policy, label_of

if TYPE_CHECKING:
    from simulator.result import RunResult
    from simulator.scenario import Scenario

__all__ = ["simulate"]


def simulate(
    scenario: Scenario | str | Path,
    policy: PolicySpec,
    *,
    seed: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> RunResult:
    """Run one policy on one seed of a scenario.

    Parameters
    ----------
    policy
        A name, ``path/to/file.py:Class``, a mapping with ``name`` and options, or a class.
    seed
        The scenario's own by default.
    progress
        Called with the fraction of the trace that is done.
    """
    from simulator.engine import prepare
    from simulator.engine import simulate as run
    from simulator.scenario import load_scenario

    if isinstance(scenario, str | Path):
        scenario = load_scenario(Path(scenario))
    seed = scenario.seed if seed is None else seed
    context = prepare(scenario, seed)
    built = build_policy(policy, context)
    return run(scenario, built, seed=seed, policy_name=label_of(policy), context=context, progress=progress)
