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
    most_per_node
        In the same form: how many of them one node should hold at most, so that its loss takes few. Where it names
        none, as many as find room.
    """

    replicas: Any = None
    most_per_node: Any = None

    def __post_init__(self) -> None:
        _check("replicas", self.replicas, 0)
        if self.most_per_node is not None:
            _check("most_per_node", self.most_per_node, 1)


def _check(option: str, named: Any, least: int) -> None:
    if not isinstance(named, Mapping) or not named:
        raise InputError(option, f"{named!r} names no replica", _FORM)
    for variant, by_node in named.items():
        if not isinstance(by_node, Mapping):
            raise InputError(f"{option} of {variant}", f"{by_node!r} is no mapping", _FORM)
        for node_type, count in by_node.items():
            check_whole(f"{option} of {variant} on {node_type}", count, least)


_FORM = "give service/stage/variant: {node type: replicas}"


class Fixed:
    """Wants the same replicas at every decision; what a failure takes is wanted again."""

    Options: ClassVar[type[Any]] = FixedOptions
    clairvoyant: ClassVar[bool] = False
    counts_standing: ClassVar[bool] = True
    """Its numbers hold the replicas that always stand."""

    def __init__(self, context: PolicyContext, options: FixedOptions) -> None:
        self._replicas = replicas_of(context.facts, options.replicas)
        self._most: np.ndarray | None = None
        if options.most_per_node is not None:
            most = replicas_of(context.facts, options.most_per_node, "most_per_node")
            self._most = np.where(most > 0, most, self._replicas)

    @classmethod
    def from_context(cls, context: PolicyContext, **options: Any) -> Fixed:
        """Build the policy; names that the scenario does not have raise before anything runs."""
        return cls(context, FixedOptions(**options))

    def decide(self, observation: Observation) -> Allocation:
        """The same replicas every time."""
        most = None if self._most is None else self._most.copy()
        return Allocation(self._replicas.copy(), note="as planned", most_per_node=most)


def replicas_of(facts: FleetFacts, named: Mapping[str, Mapping[str, int]], option: str = "replicas") -> np.ndarray:
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
            raise InputError(f"policy fixed {option}", f"there is no variant '{variant}'", fix)
        for node_type, count in by_node.items():
            if node_type not in facts.node_types:
                fix = suggestion(node_type, facts.node_types, "node types")
                raise InputError(f"policy fixed {option}", f"there is no node type '{node_type}'", fix)
            pair = facts.variants.index(variant), facts.node_types.index(node_type)
            if count and not facts.best_throughput_rps[pair] > 0.0:
                raise InputError(f"policy fixed {option}", f"{variant} cannot run on {node_type}", "leave it out")
            replicas[pair] = count
    return replicas


def replicas_by_name(facts: FleetFacts, replicas: np.ndarray) -> dict[str, dict[str, int]]:
    """The inverse of `replicas_of`, without zeros."""
    named: dict[str, dict[str, int]] = {}
    for v, n in np.argwhere(replicas > 0).tolist():
        named.setdefault(facts.variants[v], {})[facts.node_types[n]] = int(replicas[v, n])
    return named
