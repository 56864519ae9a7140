"""Which columns of the trace a scenario's request path looks at, and whether the trace holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.service import Service
from workloads.errors import InputError

if TYPE_CHECKING:
    from simulator.scenario import Scenario
    from workloads.trace import Trace

__all__ = ["columns_needed", "refuse_unknown_users"]

SAMPLE_ROWS = 4096


def columns_needed(scenario: Scenario) -> tuple[str, ...]:
    """``user``, ``item``, both or none: what `Trace.blocks` must be asked for beside what it always gives."""
    reasons = [_reasons(service) for service in scenario.services]
    return tuple(column for column in ("user", "item") if any(column in each for each in reasons))


def _reasons(service: Service) -> dict[str, str]:
    """Why a service looks at a column."""
    reasons: dict[str, str] = {}
    plan = service.plan
    if sum(share > 0 for share in plan.home_shares) > 1:
        reasons["user"] = "homes are drawn by user"
    if len(plan.class_shares) > 1:
        reasons["user"] = "priorities are drawn by user"
    for stage in service.stages:
        if stage.plan.router in ("consistent_hash", "function"):
            reasons["user"] = f"router {stage.plan.router} of stage {stage.name} goes by user"
    if plan.cache is not None:
        for column in plan.cache.key.split("_"):
            reasons[column] = f"its cache has key {plan.cache.key}"
    return reasons


def refuse_unknown_users(scenario: Scenario, trace: Trace, where: str) -> None:
    """An `InputError` where a service needs users or items that the first rows of the trace do not have.

    A router function may do without users; it then meets -1.
    """
    columns = columns_needed(scenario)
    if not columns:
        return
    block = next(iter(trace.blocks(columns=columns, rows=SAMPLE_ROWS)), None)
    if block is None:
        return
    for index, service in enumerate(scenario.services):
        mine = block.service == index
        for column, reason in _reasons(service).items():
            values = getattr(block, column)
            if values is None or "function" in reason or not mine.any():
                continue
            if np.any(values[mine] < 0):
                section = "users" if column == "user" else "catalogue"
                raise InputError(
                    where,
                    f"the trace holds no {column}s for service '{service.name}', but {reason}",
                    f"add {section}: to its stream or counts, or a trace with the column {column}",
                )
