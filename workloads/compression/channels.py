"""Inner channels of a network's prunable parts: which slices of which weights belong to each.

A channel of a group can be removed without touching anything outside the group's places: a hidden unit of a
perceptron, a feed-forward channel, a unit of an LSTM, or one of the numbers of an attention head.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from workloads.models.base import ModelModule, Prunable

__all__ = ["Group", "Place", "groups_of"]


@dataclass(frozen=True)
class Place:
    """A parameter by name, and the axis along which it has one slice for each channel.

    ``repeats`` counts stacked blocks along that axis, as the four gates of an LSTM.
    """

    name: str
    axis: int
    repeats: int = 1


@dataclass(frozen=True)
class Group:
    """Channels that are counted together.

    Attributes
    ----------
    field
        Field of the configuration that counts them, and its index where that field is a tuple; ``heads`` stands for
        heads times their width.
    index
        See `field`; -1 where the field is a number.
    size
        How many there are.
    places
        All slices of a channel.
    outlets
        Those among them through which a channel acts on what follows; importance is judged there.
    role
        ``plain``; ``query`` for numbers that queries and keys share, ``value`` for those that a head puts out.
    """

    field: str
    index: int
    size: int
    places: tuple[Place, ...]
    outlets: tuple[Place, ...]
    role: str = "plain"


def groups_of(module: ModelModule, network: nn.Module) -> dict[str, list[Group]]:
    """Groups of each prunable part, by its path; query and value groups of a layer follow one another."""
    readers = {"mlp": _mlp, "encoder": _encoder, "lstm": _lstm}
    return {part.path: list(readers[part.kind](part, network)) for part in module.PRUNABLE}


def _mlp(part: Prunable, network: nn.Module) -> Iterator[Group]:
    names = [name for name, layer in network.get_submodule(part.path).named_children() if isinstance(layer, nn.Linear)]
    for index, (name, following) in enumerate(itertools.pairwise(names)):
        outlet = Place(f"{part.path}.{following}.weight", 1)
        yield _linear_group(network, part.fields[0], index, f"{part.path}.{name}", (outlet,))


def _encoder(part: Prunable, network: nn.Module) -> Iterator[Group]:
    heads, feed_forward = part.fields
    for index, _ in enumerate(network.get_submodule(part.path).get_submodule("layers").children()):
        path = f"{part.path}.layers.{index}"
        queries = _linear_places(f"{path}.query") + _linear_places(f"{path}.key")
        size = len(network.get_parameter(queries[0].name))
        yield Group(heads, -1, size, queries, _linear_places(f"{path}.query"), "query")
        outlet = Place(f"{path}.out.weight", 1)
        yield Group(heads, -1, size, (*_linear_places(f"{path}.value"), outlet), (outlet,), "value")
        yield _linear_group(network, feed_forward, -1, f"{path}.up", (Place(f"{path}.down.weight", 1),))


def _lstm(part: Prunable, network: nn.Module) -> Iterator[Group]:
    """One layer, one direction; what reads its output are the linear layers named beside it."""
    reader = network.get_submodule(part.path)
    lstm = next(name for name, layer in reader.named_children() if isinstance(layer, nn.LSTM))
    path = f"{part.path}.{lstm}"
    gates = [Place(f"{path}.{name}_l0", 0, 4) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    following = [f"{part.path}.{name}" for name, layer in reader.named_children() if isinstance(layer, nn.Linear)]
    outlets = (Place(f"{path}.weight_hh_l0", 1), *(Place(f"{name}.weight", 1) for name in following))
    size = network.get_parameter(f"{path}.weight_hh_l0").shape[1]
    yield Group(part.fields[0], -1, size, (*gates, *outlets), outlets)


def _linear_group(network: nn.Module, field: str, index: int, path: str, outlets: tuple[Place, ...]) -> Group:
    size = len(network.get_parameter(f"{path}.weight"))
    return Group(field, index, size, (*_linear_places(path), *outlets), outlets)


def _linear_places(path: str) -> tuple[Place, ...]:
    return Place(f"{path}.weight", 0), Place(f"{path}.bias", 0)
