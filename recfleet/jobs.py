"""One job of a comparison: one policy on one seed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.digest import digest, file_sha256, source_digest
from recfleet.run_record import RunRecord
from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.policy import Policy, PolicyContext
    from simulator.result import RunResult
    from simulator.scenario import Scenario

__all__ = ["Job", "PolicySpec", "Runner", "make_jobs", "policy_label", "simulate_job"]

PolicySpec = Any
"""A policy's name, ``path/to/file.py:Class``, a mapping with ``name`` and options, or a class."""

Runner = Callable[..., RunRecord]
"""``(scenario, spec, label, seed, progress) -> RunRecord``; at module level, so that worker processes find it."""


@dataclass(frozen=True)
class Job:
    """A policy and a seed; ``key`` names its kept result and changes with anything it depends on."""

    index: int
    spec: PolicySpec
    label: str
    seed: int
    key: str


def policy_label(spec: PolicySpec) -> str:
    """How a policy is called in tables: its name, with its options where it has any.

    Examples
    --------
    >>> policy_label("static-peak"), policy_label("tools/mine.py:Mine")
    ('static_peak', 'Mine')
    >>> policy_label({"name": "hpa", "target": 0.5})
    'hpa(target=0.5)'
    """
    if isinstance(spec, str):
        return spec.rpartition(":")[2] if ".py:" in spec else spec.strip().replace("-", "_")
    if isinstance(spec, Mapping):
        options = {key: value for key, value in spec.items() if key not in ("name", "label")}
        options = options.get("options", options)
        if spec.get("label"):
            return str(spec["label"])
        text = ",".join(f"{key}={value}" for key, value in sorted(options.items()))
        return policy_label(str(spec.get("name"))) + (f"({text})" if text else "")
    return str(getattr(spec, "__name__", type(spec).__name__))


def make_jobs(scenario: Scenario, policies: Sequence[PolicySpec], seeds: Sequence[int]) -> list[Job]:
    """Every policy on every seed, seed by seed.

    Raises
    ------
    InputError
        Nothing to compare, or two policies of the same name.
    """
    labels = [policy_label(spec) for spec in policies]
    if not labels:
        raise InputError("policies", "none is given", "name at least one, as in --policies hpa,mip")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError("policies", f"{twice[0]} is given twice", "name each policy once")
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError("seeds", f"{list(seeds)} is empty or names one twice", "give each seed once")
    common = digest(scenario, source_digest())
    return [
        Job(index, spec, label, seed, digest(common, _spec_digest(spec), label, seed)[:32])
        for index, (seed, (spec, label)) in enumerate(
            (seed, pair) for seed in seeds for pair in zip(policies, labels)
        )
    ]


def _spec_digest(spec: PolicySpec) -> str:
    name = spec.get("name") if isinstance(spec, Mapping) else spec
    parts: list[Any] = [spec if isinstance(spec, str | Mapping) else policy_label(spec)]
    if isinstance(name, str) and ".py:" in name:
        path = Path(name.rpartition(":")[0])
        parts.append(file_sha256(path) if path.is_file() else "")
    return digest(*parts)


def simulate_job(
    scenario: Scenario, spec: PolicySpec, label: str, seed: int, progress: Callable[[float], None]
) -> RunRecord:
    """Build a fresh policy, run it, and bound what any policy would have paid for the same service."""
    from simulator.engine import prepare, simulate

    began = time.perf_counter()
    policy = build_policy(spec, prepare(scenario, seed))
    result = simulate(scenario, policy, seed=seed, policy_name=label, progress=progress)
    bound_usd, status = _bound(result)
    clairvoyant = bool(getattr(policy, "clairvoyant", False))
    return RunRecord(result, bound_usd, status, clairvoyant, time.perf_counter() - began)


def build_policy(spec: PolicySpec, context: PolicyContext) -> Policy:
    """A fresh policy from whatever names it; a class is built as the registry builds those it knows."""
    from optimizer.registry import make_policy

    if isinstance(spec, str | Mapping):
        return make_policy(spec, context)
    if callable(getattr(spec, "from_context", None)):
        return spec.from_context(context)  # type: ignore[no-any-return]
    if callable(spec):
        return spec()  # type: ignore[no-any-return]
    raise InputError("policies", f"{spec!r} is neither a name nor a class", "pass a name or a policy class")


def _bound(result: RunResult) -> tuple[float, str]:
    from optimizer.bounds import fluid_bound_usd

    facts = result.facts
    served = np.zeros(len(facts.stages))
    np.add.at(served, facts.variant_stage, result.served_requests.sum(axis=1))
    bound = fluid_bound_usd(facts, served, facts.duration_s)
    usd = math.nan if bound.usd is None else float(bound.usd)
    return usd, str(bound.status)
