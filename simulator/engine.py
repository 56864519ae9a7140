"""One run: the control loop on SimPy's clock over the compiled data plane."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

from simulator.actuator import Actuator
from simulator.drifting import RowDrift
from simulator.facts import prepare, slot_ends_s
from simulator.fleet import Fleet
from simulator.fleet_plan import fleet_plan, number
from simulator.life.failures import Names
from simulator.life.living import FleetLife
from simulator.life.resolve import node_names, site_names
from simulator.monitoring.monitor import Monitor
from simulator.monitoring.requests import requests_of
from simulator.plan import RecordPlan
from simulator.policy import Allocation, FleetFacts, Policy, PolicyContext
from simulator.preloading import preload_caches
from simulator.readings import Readings
from simulator.result import Decision, RunResult
from simulator.scenario import Scenario
from simulator.trace_columns import columns_needed
from workloads.errors import InputError, RecfleetError

__all__ = ["MOST_REPLICAS", "Stop", "check_allocation", "prepare", "simulate"]

Stop = Callable[[np.ndarray], bool]
"""Asked after each control interval whether the run may end there. It sees the services' counts so far, a structured
array ``[service]`` with ``arrived``, ``completed``, ``rejected``, ``failed`` and ``slo_met``."""

MOST_REPLICAS = 1_000_000
"""Of one variant on one node type; a policy that asks for more has a bug."""


def simulate(
    scenario: Scenario,
    policy: Policy,
    *,
    seed: int,
    policy_name: str = "policy",
    context: PolicyContext | None = None,
    progress: Callable[[float], None] | None = None,
    requests: RecordPlan | None = None,
    stop: Stop | None = None,
) -> RunResult:
    """Replay the scenario's trace of a seed under a policy.

    Parameters
    ----------
    policy
        A fresh one: it may keep state.
    context
        What `prepare` returned for this scenario and seed; computed if left out.
    progress
        Called with the fraction of the trace that has been replayed.
    requests
        Which requests to keep one by one, in the result's ``sample``.
    stop
        Where it says yes, the run ends with the interval: the result's ``duration_s`` is then less than the facts', its
        counts are those up to there, and requests in flight have no outcome.

    Raises
    ------
    InputError
        If the policy returns something that is not an allocation, or fails.
    """
    context = context or prepare(scenario, seed)
    run = _Run(scenario, policy, seed, policy_name, context, progress or (lambda fraction: None), requests, stop)
    return run.result()


def check_allocation(allocation: object, facts: FleetFacts, where: str) -> np.ndarray:
    """The wanted replicas as ``int64[variant, node_type]``.

    Raises
    ------
    InputError
        If it is not an `Allocation`, has another shape, or holds anything but whole numbers from 0 to `MOST_REPLICAS`
        where a variant runs.
    """
    shape = facts.throughput_rps.shape
    if not isinstance(allocation, Allocation):
        raise InputError(
            where, f"decide() returned {type(allocation).__name__}", "return a simulator.policy.Allocation"
        )
    try:
        wanted = np.asarray(allocation.replicas)
    except ValueError:
        raise InputError(
            where, "replicas is no array", f"return numbers of shape {shape}, [variant, node_type]"
        ) from None
    if wanted.shape != shape or wanted.dtype.kind not in "iuf":
        raise InputError(where, f"replicas has shape {wanted.shape} and type {wanted.dtype}",
                         f"return numbers of shape {shape}, [variant, node_type]")  # fmt: skip
    good = (wanted >= 0) & (wanted <= MOST_REPLICAS)  # false where it is no number
    if wanted.dtype.kind == "f":
        good &= wanted == np.floor(wanted)
    if not good.all():
        v, n = np.argwhere(~good)[0]
        raise InputError(where, f"replicas of {facts.variants[v]} on {facts.node_types[n]} is {wanted[v, n]}",
                         f"return whole numbers from 0 to {MOST_REPLICAS}")  # fmt: skip
    impossible = (wanted > 0) & (facts.best_throughput_rps <= 0)
    if impossible.any():
        v, n = np.argwhere(impossible)[0]
        raise InputError(where, f"asks for {facts.variants[v]} on {facts.node_types[n]}, where it cannot run",
                         "ask only where facts.runs_on() is true")  # fmt: skip
    return wanted.astype(np.int64)


class _Run:
    """State of one run."""

    def __init__(
        self,
        scenario: Scenario,
        policy: Policy,
        seed: int,
        policy_name: str,
        context: PolicyContext,
        progress: Callable[[float], None],
        requests: RecordPlan | None,
        stop: Stop | None,
    ) -> None:
        self._kept, self._stop = requests, stop
        self._stopped_at_s: float | None = None
        self._scenario, self._policy, self._seed, self._name = scenario, policy, seed, policy_name
        self._context, self._progress = context, progress
        self._facts = context.facts
        self._trace = scenario.trace_for(seed)
        numbering = number(scenario)
        self._ends_s = slot_ends_s(scenario)
        self._env = simpy.Environment()
        self._fleet = Fleet(
            fleet_plan(scenario, numbering, seed), self._trace.blocks(columns_needed(scenario), even=False), requests
        )
        preload_caches(self._fleet, scenario, seed)
        self._drift = RowDrift(self._fleet, scenario, numbering)
        self._monitor = Monitor(
            self._fleet,
            self._facts,
            scenario.cluster.network.names,
            tuple(service.level_names for service in scenario.services),
        )
        self._actuator = Actuator(
            self._env, self._fleet, numbering, self._facts, scenario.cluster.storage_bytes_per_s, scenario.life
        )
        names = Names(node_names(scenario.cluster), site_names(scenario.cluster))
        self._life = FleetLife(self._env, self._fleet, self._actuator, numbering, names, seed, scenario.duration_s)
        self._readings = Readings(
            self._fleet, self._actuator, numbering, self._facts, context.future_rps[:, 0], len(self._ends_s)
        )
        self._stated_caps = np.array([[variant.max_batch] for _, variant in numbering.variants], np.int64)
        self._decisions: list[Decision] = []
        self._asked: np.ndarray | None = None

    def result(self) -> RunResult:
        """Run to the end of the trace, then serve what is in flight."""
        self._env.run(until=self._env.process(self._control_loop()))
        served = {name: self._readings.by_run(name) for name in ("requests", "batches", "extrapolated")}
        monitored = self._monitor.series(np.diff(self._ends_s[: len(self._decisions)], prepend=0.0))
        if self._stopped_at_s is None:
            self._fleet.finish()
        state = self._fleet.state
        services = {
            name: state.services[name].copy() for name in ("arrived", "completed", "rejected", "failed", "slo_met")
        }
        if self._stopped_at_s is None and self._fleet.in_flight().any():
            raise RecfleetError(
                f"{self._where()}: {self._fleet.in_flight()} requests have no outcome (a bug: report it)"
            )
        return RunResult(
            scenario=self._scenario.name,
            policy=self._name,
            seed=self._seed,
            trace_name=self._trace.info.name,
            facts=self._facts,
            intervals=self._readings.intervals(),
            decisions=tuple(self._decisions),
            **services,
            histogram=state.histogram.copy(),
            served_requests=served["requests"],
            served_batches=served["batches"],
            extrapolated_batches=served["extrapolated"],
            stage_wait_s=state.stages["wait_s"].copy(),
            stage_compute_s=state.stages["compute_s"].copy(),
            cold_starts=self._actuator.cold_starts,
            duration_s=self._scenario.duration_s if self._stopped_at_s is None else self._stopped_at_s,
            storage_bytes_loaded=self._actuator.store.loaded_bytes,
            storage_bytes_by_purpose=self._actuator.store.moved_bytes.copy(),
            replicas_lost=int(self._actuator.lost.sum()),
            events=self._actuator.log.all(),
            jobs=self._life.jobs(),
            monitored=monitored,
            sample=requests_of(self._fleet, self._trace, self._kept, self._facts.stages) if self._kept else None,
        )

    def _control_loop(self) -> Generator[simpy.Event, Any, None]:
        start_s = 0.0
        for slot, end_s in enumerate(self._ends_s.tolist()):
            self._decide(slot, start_s)
            yield self._env.timeout(end_s - start_s)
            self._readings.take(start_s, end_s)
            self._monitor.take()
            self._drift.take(end_s)
            self._progress(end_s / self._scenario.duration_s)
            is_last = slot == len(self._ends_s) - 1
            if self._stop is not None and not is_last and self._stop(self._fleet.state.services):
                self._stopped_at_s = end_s
                return
            start_s = end_s

    def _decide(self, slot: int, now_s: float) -> None:
        """Ask the policy, carry out what it wants, and log it."""
        observation = self._readings.observe(now_s, self._actuator.unplaced)
        try:
            allocation = self._policy.decide(observation)
        except RecfleetError:
            raise
        except Exception as error:
            text = " ".join(str(error).split())
            raise InputError(self._where(now_s), f"decide() failed: {type(error).__name__}: {text}",
                             "mend the policy") from error  # fmt: skip
        wanted = self._wanted(allocation, now_s)
        self._actuator.most_per_node = self._whole(allocation.most_per_node, "most_per_node", now_s)
        caps = self._whole(allocation.batch_caps, "batch_caps", now_s)
        if caps is None and self._facts.batch_cap.any():
            caps = self._facts.batch_cap
        self._actuator.batch_caps = None if caps is None else np.minimum(caps, self._stated_caps)
        applied = self._actuator.apply(wanted, at_once=slot == 0)
        self._decisions.append(
            Decision(
                slot=slot,
                now_s=now_s,
                wanted=wanted,
                started=applied.started,
                drained=applied.drained,
                unplaced=int(applied.unplaced.sum()),
                status=allocation.status,
                objective_usd_per_hour=allocation.objective_usd_per_hour,
                bound_usd_per_hour=allocation.bound_usd_per_hour,
                note=allocation.note,
                expected_rps=_expected(allocation, self._facts, self._where(now_s)),
            )
        )

    def _wanted(self, allocation: Allocation, now_s: float) -> np.ndarray:
        """What a decision wants, checked; one array for all decisions in a row that want the same."""
        if self._asked is not None and _asks(allocation, self._asked):
            return self._decisions[-1].wanted
        self._asked = check_allocation(allocation, self._facts, self._where(now_s))
        wanted = np.maximum(self._asked, self._facts.min_replicas)
        if self._decisions and np.array_equal(wanted, self._decisions[-1].wanted):
            return self._decisions[-1].wanted
        return wanted

    def _whole(self, values: np.ndarray | None, name: str, now_s: float) -> np.ndarray | None:
        """What an allocation says beside its replicas, checked: whole numbers >= 0 of their shape, or nothing."""
        if values is None:
            return None
        given = np.asarray(values)
        shape = self._facts.throughput_rps.shape
        if given.shape != shape or given.dtype.kind not in "iu" or (given < 0).any():
            raise InputError(self._where(now_s), f"{name} is no array of whole numbers >= 0 of shape {shape}",
                             "return integers [variant, node_type], or None")  # fmt: skip
        return given.astype(np.int64)

    def _where(self, now_s: float | None = None) -> str:
        at = "" if now_s is None else f" at {now_s:g} s"
        return f"policy {self._name}, seed {self._seed}{at}"


def _expected(allocation: Allocation, facts: FleetFacts, where: str) -> tuple[float, ...] | None:
    """The demand by stage that an allocation says it was made for, checked."""
    if allocation.expected_rps is None:
        return None
    rps = np.asarray(allocation.expected_rps, dtype=np.float64)
    if rps.shape != (len(facts.stages),) or not (np.isfinite(rps) & (rps >= 0.0)).all():
        raise InputError(where, f"expected_rps is {allocation.expected_rps}",
                         f"return {len(facts.stages)} numbers >= 0, [stage], or None")  # fmt: skip
    return tuple(rps.tolist())


def _asks(allocation: object, replicas: np.ndarray) -> bool:
    """Whether this is an allocation of just these replicas, which have been checked."""
    asked = allocation.replicas if isinstance(allocation, Allocation) else None
    return isinstance(asked, np.ndarray) and asked.dtype == replicas.dtype and np.array_equal(asked, replicas)
