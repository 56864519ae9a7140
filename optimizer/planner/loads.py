"""The same scenario at another load: every stream, count or trace times a factor."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from simulator.life.plan import Outage, Risk
from simulator.policy import FleetFacts, PolicyContext
from simulator.scenario import Scenario
from workloads.trace.spec import TraceSpec

__all__ = ["at_load", "context_with_nodes", "facts_with_nodes", "scaled_trace", "with_nodes"]


def scaled_trace(spec: TraceSpec, factor: float) -> TraceSpec:
    """The section of a trace with ``factor`` times the requests.

    Streams are drawn at ``factor`` times their rate; logged counts are multiplied; the requests of a trace on disk are
    thinned or repeated as its ``scale`` says (docs/trace-format.md).
    """
    if factor == 1.0:
        return spec
    if spec.streams is not None:
        streams = tuple(
            s.model_copy(update={"arrivals": s.arrivals.model_copy(update={"rate_rps": s.arrivals.rate_rps * factor})})
            for s in spec.streams
        )
        return spec.model_copy(update={"streams": streams})
    if spec.counts is not None:
        counts = spec.counts.model_copy(update={"scale": spec.counts.scale * factor})
        return spec.model_copy(update={"counts": counts})
    return spec.model_copy(update={"scale": (1.0 if spec.scale is None else spec.scale) * factor})


OF_NODES = ("node", "slow_node", "spot")
"""Kinds of outages and risks whose target is the number of a node."""
Hazard = TypeVar("Hazard", Outage, Risk)


def at_load(scenario: Scenario, factor: float) -> Scenario:
    """The scenario with ``factor`` times the demand, all else as it is."""
    if factor == 1.0:
        return scenario
    file = scenario.file.model_copy(update={"trace": scaled_trace(scenario.file.trace, factor)})
    return replace(scenario, file=file)


def with_nodes(scenario: Scenario, nodes: np.ndarray) -> Scenario:
    """The scenario on a cluster of ``nodes[node_type]`` nodes; a type may have none.

    What is stated to happen to single nodes happens to those of the same type and number, where there are such.
    """
    kinds = tuple(replace(k, count=int(count)) for k, count in zip(scenario.cluster.node_types, nodes))
    number = _renumbered(scenario.cluster.count, np.asarray(nodes, dtype=np.int64))
    life = scenario.life
    outages = [_moved(o, number) for o in life.outages if o.kind not in OF_NODES or o.target[0] in number]
    risks = [_moved(r, number) for r in life.risks if r.kind not in OF_NODES or r.target[0] in number]
    return replace(
        scenario,
        cluster=replace(scenario.cluster, node_types=kinds),
        life=replace(life, outages=tuple(outages), risks=tuple(risks)),
    )


def _renumbered(before: np.ndarray, after: np.ndarray) -> dict[int, int]:
    """The number that a node has in a cluster of other counts, for each that is there still."""
    first, new_first = np.cumsum(before) - before, np.cumsum(after) - after
    return {
        int(first[n]) + i: int(new_first[n]) + i
        for n in range(len(before))
        for i in range(min(int(before[n]), int(after[n])))
    }


def _moved(thing: Hazard, number: dict[int, int]) -> Hazard:
    return replace(thing, target=(number[thing.target[0]],)) if thing.kind in OF_NODES else thing


def context_with_nodes(context: PolicyContext, nodes: np.ndarray) -> PolicyContext:
    """What policies may know, of a cluster of ``nodes[node_type]``."""
    return replace(context, facts=facts_with_nodes(context.facts, nodes))


def facts_with_nodes(facts: FleetFacts, nodes: np.ndarray) -> FleetFacts:
    """The facts of a cluster of ``nodes[node_type]``."""
    count = np.array(nodes, dtype=facts.node_count.dtype)
    count.flags.writeable = False
    return replace(facts, node_count=count)
