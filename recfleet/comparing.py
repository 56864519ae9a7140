"""Policies against one another on common random numbers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recfleet.comparison import Comparison, ScenarioFacts
from recfleet.jobs import PolicySpec, Runner, check_labels, make_jobs, simulate_job
from recfleet.output import open_workspace
from recfleet.pool import default_workers, run_jobs
from recfleet.progress import Listener, Silent
from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.scenario import Scenario

__all__ = ["announce_compilation", "check_objectives", "check_policies", "compare"]


def compare(
    scenario: Scenario | str | Path,
    policies: Sequence[PolicySpec] | None = None,
    seeds: int | Sequence[int] = 1,
    *,
    out: str | Path | None = None,
    workers: int | None = 1,
    resume: bool = True,
    listener: Listener | None = None,
    command: str = "",
    runner: Runner = simulate_job,
) -> Comparison:
    """Run every policy on every seed of a scenario and compare them.

    On one seed every policy meets the same requests and the same service noise.

    Parameters
    ----------
    scenario
        A scenario, or the path of its file.
    policies
        Names, ``path/to/file.py:Class``, mappings with ``name`` and options, or classes; the scenario's own
        by default.
    seeds
        The seeds, or how many: the scenario's seed and those after it.
    out
        Folder for tables, manifest and report; it appears when complete. Runs that an interrupted comparison
        left in ``OUT.partial`` are used again if nothing that they depend on has changed.
    workers
        Processes; None for one a core. More than one needs ``if __name__ == "__main__":`` in a script, and
        policies that are given by name or file.
    resume
        Use runs that an interrupted comparison left, except those of policies given as classes.
    runner
        Runs one job; for tests.

    Raises
    ------
    InputError
        Something given cannot be used; nothing has been written then.

    Examples
    --------
    >>> import recfleet as rf
    >>> comparison = rf.compare("scenarios/demo.yaml", ["static_peak", "hpa"])  # doctest: +SKIP
    >>> print(comparison.verdict)  # doctest: +SKIP
    """
    scenario = _loaded(scenario)
    specs = tuple(scenario.policies if policies is None else policies)
    base = scenario.path.parent if policies is None else None
    seed_list = tuple(range(scenario.seed, scenario.seed + seeds)) if isinstance(seeds, int) else tuple(seeds)
    if runner is simulate_job:
        _validate(specs, base)
    jobs = make_jobs(scenario, specs, seed_list, base)
    if workers is not None and workers < 1:
        raise InputError("workers", f"{workers} is not a positive number", "give 1 or more")
    count = default_workers(len(jobs)) if workers is None else workers
    if any(not isinstance(spec, str | dict) for spec in specs):
        count = 1
    listener = listener or Silent()
    if runner is simulate_job:
        announce_compilation(scenario, listener)

    def finish(folder: Path) -> Comparison:
        runs = run_jobs(scenario, jobs, folder, count, runner, listener)
        return Comparison(_facts(scenario), tuple(runs), seed_list, command, specs)

    if out is None:
        with tempfile.TemporaryDirectory(prefix="recfleet-") as folder:
            return finish(Path(folder))
    with open_workspace(Path(out), resume=resume) as workspace:
        from recfleet.files import write_comparison

        comparison = finish(workspace.runs)
        listener.note("writing tables and report")
        write_comparison(comparison, workspace.draft)
        workspace.publish()
    return comparison


def check_policies(scenario: Scenario, policies: Sequence[PolicySpec] | None = None) -> None:
    """Check what `compare` would refuse about its policies, before anything is told or run.

    Raises
    ------
    InputError
        A policy is unknown, cannot be loaded, has a wrong option, or two have one name.
    """
    specs = scenario.policies if policies is None else policies
    check_labels(specs)
    _validate(specs, scenario.path.parent if policies is None else None)


def check_objectives(scenario: Scenario, listener: Listener) -> None:
    """Compute what each replica can serve, which runs need anyway and find known.

    Raises
    ------
    InputError
        A stage has a latency budget that no variant meets.
    """
    from simulator.facts import fleet_facts

    announce_compilation(scenario, listener)
    listener.note("computing what each replica can serve within its latency budget")
    fleet_facts(scenario)


def _loaded(scenario: Scenario | str | Path) -> Scenario:
    if isinstance(scenario, str | Path):
        from simulator.scenario import load_scenario

        return load_scenario(Path(scenario))
    return scenario


def _validate(specs: Sequence[PolicySpec], base: Path | None) -> None:
    from optimizer.registry import validate_spec

    for spec in specs:
        if isinstance(spec, str | dict):
            validate_spec(spec, base=base)
        elif not isinstance(spec, type):
            raise InputError(
                f"policy {spec!r}",
                "is neither a name nor a class",
                "pass the class: every run builds a fresh policy",
            )


def announce_compilation(scenario: Scenario, listener: Listener) -> None:
    """Say so where the event loop that a scenario runs on must be compiled first, or runs as plain Python."""
    from simulator.fleet_plan import fleet_plan, number
    from simulator.journey_arrays import path_of
    from simulator.kernel.compiled import is_cached, is_compiled

    if not is_compiled():
        listener.note("simulating without compiled code, as NUMBA_DISABLE_JIT says (hundreds of times slower)")
    elif not is_cached(path_of(fleet_plan(scenario, number(scenario), scenario.seed))):
        listener.note("compiling the request path, once per installation (tens of seconds)")


def _facts(scenario: Scenario) -> ScenarioFacts:
    return ScenarioFacts(
        name=scenario.name,
        description=scenario.description,
        path=str(scenario.path),
        file_sha256=scenario.file_sha256,
        control_interval_s=scenario.control_interval_s,
        duration_s=scenario.duration_s,
        sources=tuple(scenario.sources),
        assumptions=tuple(scenario.assumptions),
        inputs=dict(scenario.inputs),
        alert_rules=scenario.alert_rules,
    )
