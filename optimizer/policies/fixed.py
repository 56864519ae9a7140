"""The replicas that a file gives, for the whole run: what a capacity plan of a static fleet is applied with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from optimizer.options import check_whole, suggestion
from simulator.policy import Allocation, FleetFacts, Observation, PolicyContext
from workloads.errors import InputError

__all__ = ["Fixed", "FixedOptions", "replicas_by_name", "replicas_of"]


@dataclass(frozen=True)
class FixedOptions:
    """Options of `Fixed`.

    Attributes
    ----------
    replicas
        Of each variant, as ``service/stage/variant``, by node type; those that always stand are among them.
    """

    replicas: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.replicas, Mapping) or not self.replicas:
            raise InputError("replicas", f"{self.replicas!r} names no replica", _FORM)
        for variant, by_node in self.replicas.items():
            if not isinstance(by_node, Mapping):
                raise InputError(f"replicas of {variant}", f"{by_node!r} is no mapping", _FORM)
            for node_type, count in by_node.items():
                check_whole(f"replicas of {variant} on {node_type}", count, 0)


_FORM = "give service/stage/variant: {node type: replicas}"


class Fixed:
    """Wants the same replicas at every decision; what a failure takes is wanted again."""

    Options: ClassVar[type[Any]] = FixedOptions
    clairvoyant: ClassVar[bool] = False
    counts_standing: ClassVar[bool] = True
    """Its numbers hold the replicas that always stand."""

    def __init__(self, context: PolicyContext, options: FixedOptions) -> None:
        self._replicas = replicas_of(context.facts, options.replicas)

    @classmethod
    def from_context(cls, context: PolicyContext, **options: Any) -> Fixed:
        """Build the policy; names that the scenario does not have raise before anything runs."""
        return cls(context, FixedOptions(**options))

    def decide(self, observation: Observation) -> Allocation:
        """The same replicas every time."""
        return Allocation(self._replicas.copy(), note="as planned")


def replicas_of(facts: FleetFacts, named: Mapping[str, Mapping[str, int]]) -> np.ndarray:
    """``[variant, node_type]`` replicas from their names.

    Raises
    ------
    InputError
        At a variant or node type that the scenario does not have, or a pair that cannot run.
    """
    replicas = np.zeros(facts.throughput_rps.shape, dtype=np.int64)
    for variant, by_node in named.items():
        if variant not in facts.variants:
            fix = suggestion(variant, facts.variants, "variants")
            raise InputError("policy fixed replicas", f"there is no variant '{variant}'", fix)
        for node_type, count in by_node.items():
            if node_type not in facts.node_types:
                fix = suggestion(node_type, facts.node_types, "node types")
                raise InputError("policy fixed replicas", f"there is no node type '{node_type}'", fix)
            pair = facts.variants.index(variant), facts.node_types.index(node_type)
            if count and not facts.best_throughput_rps[pair] > 0.0:
                raise InputError("policy fixed replicas", f"{variant} cannot run on {node_type}", "leave it out")
            replicas[pair] = count
    return replicas


def replicas_by_name(facts: FleetFacts, replicas: np.ndarray) -> dict[str, dict[str, int]]:
    """The inverse of `replicas_of`, without zeros."""
    named: dict[str, dict[str, int]] = {}
    for v, n in np.argwhere(replicas > 0).tolist():
        named.setdefault(facts.variants[v], {})[facts.node_types[n]] = int(replicas[v, n])
    return named
