"""One job of a comparison: one policy on one seed."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recfleet.digest import digest, source_digest
from recfleet.run_record import RunRecord
from workloads.atomic_files import file_sha256
from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.plan import RecordPlan
    from simulator.policy import Policy, PolicyContext
    from simulator.result import RunResult
    from simulator.scenario import Scenario

__all__ = [
    "Job", "PolicySpec", "Runner", "bound_of", "build_policy", "check_labels", "label_of", "make_jobs", "simulate_job",
    "spec_digest",
]  # fmt: skip

PolicySpec = Any
"""A policy's name, ``path/to/file.py:Class``, a mapping with ``name`` and options, or a class."""


@dataclass(frozen=True)
class Job:
    """A policy and a seed.

    Attributes
    ----------
    base
        Folder that the relative path of a policy file starts from; None for the current one.
    key
        Names the kept result and changes with anything that the result depends on.
    """

    index: int
    spec: PolicySpec
    base: Path | None
    label: str
    seed: int
    key: str


Runner = Callable[["Scenario", Job, Callable[[float], None]], RunRecord]
"""Runs one job, reporting the fraction done; at module level, for worker processes to find."""


def label_of(spec: PolicySpec) -> str:
    """How a policy is called in tables: its label, name or class.

    Examples
    --------
    >>> label_of("static-peak"), label_of("tools/mine.py:Mine"), label_of({"name": "hpa", "label": "h6"})
    ('static_peak', 'Mine', 'h6')
    """
    if isinstance(spec, str | Mapping):
        from optimizer.registry import policy_label

        return policy_label(spec)
    return str(getattr(spec, "__name__", type(spec).__name__))


def check_labels(policies: Sequence[PolicySpec]) -> list[str]:
    """The policies' labels; an InputError where there is none, or one twice."""
    labels = [label_of(spec) for spec in policies]
    if not labels:
        raise InputError("policies", "none is given", "name at least one, as in --policies hpa,mip")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(
            "policies", f"two are called {twice[0]}", "give each once, or give variants a label of their own"
        )
    return labels


def make_jobs(
    scenario: Scenario, policies: Sequence[PolicySpec], seeds: Sequence[int], base: Path | None = None
) -> list[Job]:
    """Every policy on every seed, seed by seed.

    Raises
    ------
    InputError
        Nothing to compare, or two policies of the same name.
    """
    labels = check_labels(policies)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError("seeds", f"{list(seeds)} is empty or names one twice", "give each seed once")
    common = digest(scenario, source_digest())
    pairs = [(seed, spec, label) for seed in seeds for spec, label in zip(policies, labels)]
    return [
        Job(i, spec, base, label, seed, digest(common, spec_digest(spec, base), label, seed)[:32])
        for i, (seed, spec, label) in enumerate(pairs)
    ]


def spec_digest(spec: PolicySpec, base: Path | None) -> str:
    """What names a policy, hashed: of a name its options and their files.

    Of a class something new each time, for its code may have changed.
    """
    if not isinstance(spec, str | Mapping):
        return secrets.token_hex()
    name = spec.get("name") if isinstance(spec, Mapping) else spec
    parts: list[Any] = [spec]
    if isinstance(name, str) and ".py" in name:
        path = (base or Path()) / (name.rpartition(":")[0] or name)
        parts.append(file_sha256(path) if path.is_file() else "")
    parts += [file_sha256(path) for path in _manifests(spec, base or Path()) if path.is_file()]
    return digest(*parts)


def _manifests(value: Any, base: Path) -> list[Path]:
    """Files that options name, by their ending, in order of appearance."""
    if isinstance(value, str):
        return [base / Path(value).expanduser()] if value.endswith((".yaml", ".yml")) else []
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return [path for one in inner for path in _manifests(one, base)]


def simulate_job(
    scenario: Scenario, job: Job, progress: Callable[[float], None], requests: RecordPlan | None = None
) -> RunRecord:
    """Build a fresh policy, run it, and bound what any policy would have paid for the same service."""
    from simulator.engine import prepare, simulate

    began = time.perf_counter()
    context = prepare(scenario, job.seed)
    policy = build_policy(job.spec, context, job.base)
    result = simulate(
        scenario, policy, seed=job.seed, policy_name=job.label, context=context, progress=progress, requests=requests
    )
    bound_usd, status = bound_of(result)
    clairvoyant = bool(getattr(policy, "clairvoyant", False))
    return RunRecord(result, bound_usd, status, clairvoyant, time.perf_counter() - began)


def build_policy(spec: PolicySpec, context: PolicyContext, base: Path | None = None) -> Policy:
    """A fresh policy from whatever names it; a class is built as the registry builds those it knows."""
    from optimizer.registry import make_policy

    if isinstance(spec, str | Mapping):
        return make_policy(spec, context, base=base)
    policy = spec.from_context(context) if hasattr(spec, "from_context") else spec()
    if not callable(getattr(policy, "decide", None)):
        raise InputError(f"policy {label_of(spec)}", "it has no method decide", "see docs/writing-policies.md")
    built: Policy = policy
    return built


def bound_of(result: RunResult) -> tuple[float, str]:
    """Fluid lower bound on the cost of what a run served, USD, and its status."""
    from optimizer.bounds import fluid_bound_usd, standing_bound_usd

    facts = result.facts
    served = facts.by_stage(result.served_requests.sum(axis=1)) / facts.tasks_per_request
    served = np.minimum(served, result.arrived[facts.stage_service])  # tasks that were sent twice are none of its
    accuracy = facts.mean_accuracy(result.served_requests)
    bound = fluid_bound_usd(facts, served, facts.duration_s, accuracy)
    usd = math.nan if bound.usd is None else float(bound.usd)
    usable = result.intervals.usable_nodes
    if usable.size and (usable >= facts.node_count).all():
        usd = max(usd, standing_bound_usd(facts, facts.duration_s))
    return usd, str(bound.status)
