"""A capacity plan in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from recfleet.plan_result import CapacityPlan, CertificateView

__all__ = ["RESOURCE_WORDS", "nodes_text", "sentences", "span_text"]

RESOURCE_WORDS = {
    "gpu": "GPUs",
    "gpu_memory": "GPU memory",
    "cpu": "CPU cores",
    "memory": "memory",
    "storage": "storage reads",
    "network": "network cards",
}


def sentences(plan: CapacityPlan) -> Iterator[str]:
    """What the plan is, what proves it, when it breaks and why; or what is missing."""
    if plan.chosen is None:
        yield from _none(plan)
        return
    yield _headline(plan)
    yield from _certified(plan)
    yield from _survives(plan)
    yield from _breaks(plan)
    yield from _binds(plan)


def nodes_text(nodes: Mapping[str, int]) -> str:
    """Node counts in words.

    Examples
    --------
    >>> nodes_text({"h200": 2, "cpu8": 1})
    '2 h200 and 1 cpu8'
    """
    parts = [f"{count} {name}" for name, count in nodes.items()]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else "no nodes"


def span_text(seconds: float) -> str:
    """A length of time, in hours or minutes."""
    return f"{seconds / 3600:.4g} h" if seconds >= 7200 else f"{seconds / 60:.4g} min"


def _demand(plan: CapacityPlan) -> str:
    return "the scenario's demand" if plan.growth == 1.0 else f"{plan.growth:g} times the scenario's demand"


def _headline(plan: CapacityPlan) -> str:
    chosen = plan.chosen
    assert chosen is not None
    half = "" if math.isnan(chosen.cost_half_width_usd) else f" ± {chosen.cost_half_width_usd:,.2f}"
    seeds = "one seed" if len(plan.seeds) == 1 else f"mean of {len(plan.seeds)} seeds, held on each"
    what = f"A static fleet of {nodes_text(chosen.nodes)}" if chosen.kind == "static" else (
        f"{chosen.label} on up to {nodes_text(chosen.nodes)}"
    )  # fmt: skip
    return (
        f"{what} is the cheapest plan found that meets every objective at {_demand(plan)}: "
        f"{chosen.cost_usd:,.2f}{half} USD for {span_text(plan.duration_s)}, {chosen.usd_per_hour:,.2f} USD an hour "
        f"({seeds})."
    )


def _certified(plan: CapacityPlan) -> Iterator[str]:
    proof, chosen = plan.certificate, plan.chosen
    assert proof is not None
    assert chosen is not None
    yield (
        f"No policy that serves as many requests on this cluster can pay less than {proof.fluid_usd:,.2f} USD"
        + (f"; the plan pays {proof.plan_usd / proof.fluid_usd:.2f} times that." if proof.fluid_usd > 0 else ".")
    )
    if proof.static_integer_usd is not None and math.isfinite(proof.static_integer_usd):
        found = "" if proof.static_found_usd is None else (
            f"; the cheapest that held in simulation costs {proof.static_found_usd:,.2f} USD"
        )  # fmt: skip
        least = f"{proof.static_integer_usd:,.2f} USD"
        yield f"No static fleet of whole nodes can hold the objectives below {least}{found}."
    yield from _whole(proof)


def _whole(proof: CertificateView) -> Iterator[str]:
    """The whole-fleet optimum beside an autoscaled plan."""
    low, high = proof.optimum_lower_usd, proof.optimum_upper_usd
    if low is None:
        return
    top = "at least" if high is None or high <= low * (1.0 + 5e-4) else "between"
    value = f"{top} {low:,.2f}" + (f" and {high:,.2f}" if top == "between" and high is not None else "") + " USD"
    what = f"The cheapest sequence of whole fleets that covers every interval's demand, known beforehand, costs {value}"
    if proof.why_below and proof.plan_usd < low:
        yield f"{what}; the plan pays less, because it does not cover every interval so: {proof.why_below}."
    elif proof.condition_met:
        yield f"{what}; the plan, which covers every interval, pays {100 * (proof.plan_usd / low - 1.0):.2g} % more."
    else:
        yield f"{what}; the plan pays {100 * (proof.plan_usd / low - 1.0):.2g} % more, without covering every interval."


def _survives(plan: CapacityPlan) -> Iterator[str]:
    if plan.survive != "node" or plan.chosen is None:
        return
    losses = plan.chosen.losses
    if not losses:
        return
    worst = min(losses, key=lambda loss: loss.margin)
    static = plan.chosen.kind == "static"
    which = "of all nodes that differ, those that hold most" if static else "of each type the first, the longest open"
    yield (
        f"It holds after each of {len(losses)} losses of one node that were simulated ({which}), at its worst moment "
        f"and for good: {worst.node} leaves the least margin, {100 * worst.margin:+.2g} points."
    )


def _breaks(plan: CapacityPlan) -> Iterator[str]:
    limit = plan.breaking
    if limit is None:
        return
    seeds = "one seed" if len(limit.seeds) == 1 else f"{len(limit.seeds)} seeds"
    if limit.breaks is None:
        yield f"It still holds at {limit.holds:.3g} times the planned load, the most that was tried ({seeds})."
        return
    yield f"It holds at {limit.holds:.3g} times the planned load on {seeds} and breaks at {limit.breaks:.3g} times."


def _binds(plan: CapacityPlan) -> Iterator[str]:
    binding = plan.binding
    if binding is None or not binding.planned:
        return
    node_type, resource, share = binding.planned[0]
    text = f"What binds first is {RESOURCE_WORDS[resource]} of {node_type} ({100 * share:.0f} % of the plan's limit"
    text += f", for {binding.stages[0][0]}" if binding.stages else ""
    text += ")"
    if binding.simulated:
        name, busy = binding.simulated[0]
        text += (
            f"; in simulation {binding.service} misses first, its waits longest at {binding.stage}, "
            f"with {RESOURCE_WORDS[name]} {100 * busy:.0f} % used meanwhile"
        )
        text += _until(plan)
    yield text + "."


def _until(plan: CapacityPlan) -> str:
    """When the run at the breaking load was ended, if it was."""
    limit = plan.breaking
    broken = next((p for p in plan.loads if limit is not None and p.load == limit.breaks), None)
    if broken is None or broken.stopped_at_s is None:
        return ""
    return f" (that run was stopped after {span_text(broken.stopped_at_s)}, its error budget spent)"


def _none(plan: CapacityPlan) -> Iterator[str]:
    short = plan.shortfall
    assert short is not None
    also = ", with any one node lost" if plan.survive == "node" else ""
    yield f"No fleet of this cluster meets every objective at {_demand(plan)}{also}."
    yield (
        f"Its strongest fleet serves {short.strength:.2f} times the peak within the latency budgets, and what binds is "
        f"{RESOURCE_WORDS[short.resource]} of {short.node_type}."
    )
    if short.strength >= 1.0 and not short.confirmed:
        why = "a node takes more with it than the rest makes up for" if plan.survive == "node" else "simulation says no"
        yield f"That would be enough by plan, but {why}; closest is {short.closest}."
        return
    if short.more:
        sure = "confirmed by simulation on one seed" if short.confirmed else "by plan; simulation did not confirm it"
        one = next(iter(short.more.values())) == 1 and len(short.more) == 1
        yield f"{nodes_text(short.more)} more {'node' if one else 'nodes'} would do ({sure})."
    else:
        yield "No number of further nodes of one type would do."
