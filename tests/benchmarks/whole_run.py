"""A whole run through the public interface: scenario file, control plane, policy, readings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measuring import Timing, timed

__all__ = ["SCENARIO", "WholeRun", "measure"]

SCENARIO = Path("scenarios/demo.yaml")
POLICY = "static_peak"


@dataclass(frozen=True)
class WholeRun:
    """One policy on one seed of a scenario; ``prepare`` measures what replicas can do and reads the trace once."""

    requests: int
    simulated_s: float
    prepare: Timing
    run: Timing

    @property
    def rps(self) -> float:
        """Requests per second of one core, preparation included."""
        return self.requests / (self.prepare.cpu_s + self.run.cpu_s)


def measure(path: Path = SCENARIO) -> WholeRun:
    """Run the scenario once."""
    import recfleet
    from simulator.engine import prepare
    from simulator.policy import PolicyContext
    from simulator.result import RunResult

    scenario = recfleet.load_scenario(path)
    contexts: list[PolicyContext] = []
    results: list[RunResult] = []
    prepared = timed(lambda: contexts.append(prepare(scenario, scenario.seed)), 1, warm_up=False)
    policy = recfleet.make_policy(POLICY, contexts[0])

    def run() -> None:
        from simulator.engine import simulate

        results.append(simulate(scenario, policy, seed=scenario.seed, policy_name=POLICY, context=contexts[0]))

    ran = timed(run, 1, warm_up=False)
    return WholeRun(int(results[0].arrived.sum()), results[0].duration_s, prepared, ran)
