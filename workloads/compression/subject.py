"""What travels through the steps of a compression: a network, its sizes, and what it may be judged and trained with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from workloads.compression.options import CompressOptions
from workloads.errors import InputError

if TYPE_CHECKING:
    from workloads.interactions.prepared import PreparedData
    from workloads.models.base import ModelModule

__all__ = ["Step", "Subject", "layers_of", "replace_module"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network on its way.

    Attributes
    ----------
    model, module, config, network
        Name in the zoo, its module, sizes and weights.
    card
        The card of the model that was given.
    data
        What it was trained on, or None.
    options
        How much to compress.
    tell
        Called with a phase's name and how much of it is done out of how much.
    """

    model: str
    module: ModelModule
    config: Any
    network: nn.Module
    card: dict[str, Any]
    data: PreparedData | None
    options: CompressOptions
    tell: Callable[[str, int, int], None]

    def needs_data(self, method: str) -> PreparedData:
        """The data, or an error that says which method wants it."""
        if self.data is None:
            raise InputError(f"--method {method}", "trains, so it needs the data", "give --data FOLDER")
        return self.data

    def after(self, step: Step) -> Subject:
        """The subject as the next step meets it."""
        return replace(self, config=step.config, network=step.network)


@dataclass(frozen=True, eq=False)
class Step:
    """What a method made of a subject.

    Attributes
    ----------
    config, network
        Sizes and weights after it.
    record
        What was asked for and what was done, for the card; also all that restoring needs.
    """

    config: Any
    network: nn.Module
    record: dict[str, Any]


def layers_of(
    network: nn.Module, kinds: type[nn.Module] | tuple[type[nn.Module], ...]
) -> Iterator[tuple[str, nn.Module]]:
    """Modules of exactly these types, by path; subclasses have reasons of their own and are left alone."""
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    for path, layer in network.named_modules(remove_duplicate=False):
        if type(layer) in wanted:
            yield path, layer


def replace_module(network: nn.Module, path: str, layer: nn.Module) -> None:
    """Put another module at a path such as ``encoder.layers.0.up``."""
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, layer)
