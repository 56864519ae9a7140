"""recfleet sizes, simulates and optimises the fleet behind a recommender.

>>> import recfleet as rf
>>> comparison = rf.compare("scenarios/demo.yaml", ["static_peak", "hpa"])  # doctest: +SKIP
>>> print(comparison.verdict)  # doctest: +SKIP

Names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.bounds import fluid_bound_usd
    from optimizer.document_lp import document_lp
    from optimizer.registry import available_policies, make_policy
    from recfleet.comparing import compare
    from recfleet.comparison import Comparison
    from recfleet.plan_result import CapacityPlan
    from recfleet.planning import plan
    from recfleet.single_run import simulate
    from simulator.policy import Allocation, Observation, Policy, PolicyContext
    from simulator.result import RunResult
    from simulator.scenario import Scenario, load_scenario
    from workloads.errors import InputError, RecfleetError
    from workloads.profile import ModelProfile, load_profile
    from workloads.trace import Trace

__all__ = [
    "Allocation",
    "CapacityPlan",
    "Comparison",
    "InputError",
    "ModelProfile",
    "Observation",
    "Policy",
    "PolicyContext",
    "RecfleetError",
    "RunResult",
    "Scenario",
    "Trace",
    "available_policies",
    "compare",
    "document_lp",
    "fluid_bound_usd",
    "load_profile",
    "load_scenario",
    "make_policy",
    "plan",
    "simulate",
]

_HOME = {
    "Allocation": "simulator.policy",
    "CapacityPlan": "recfleet.plan_result",
    "Comparison": "recfleet.comparison",
    "InputError": "workloads.errors",
    "ModelProfile": "workloads.profile",
    "Observation": "simulator.policy",
    "Policy": "simulator.policy",
    "PolicyContext": "simulator.policy",
    "RecfleetError": "workloads.errors",
    "RunResult": "simulator.result",
    "Scenario": "simulator.scenario",
    "Trace": "workloads.trace",
    "available_policies": "optimizer.registry",
    "compare": "recfleet.comparing",
    "document_lp": "optimizer.document_lp",
    "fluid_bound_usd": "optimizer.bounds",
    "load_profile": "workloads.profile",
    "load_scenario": "simulator.scenario",
    "make_policy": "optimizer.registry",
    "plan": "recfleet.planning",
    "simulate": "recfleet.single_run",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("recfleet")
    if name not in _HOME:
        raise AttributeError(f"module 'recfleet' has no attribute {name!r}; it offers {', '.join(__all__)}")
    from importlib import import_module

    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
