"""How much a channel matters: the change of the loss to first order if it were gone, or the norm of its weights.

With data, a channel's signal on a batch is the sum of weight times gradient over its outlets, and its importance the
mean of the squared signals over batches (Molchanov et al. 2019, arXiv:1906.10771). Without, it is the sum of its
squared weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from workloads.compression.channels import Group, Place

if TYPE_CHECKING:
    from workloads.compression.subject import Subject

__all__ = ["Importance", "measure_importance"]

_BATCH = 256


class Importance:
    """Signals of one group's channels.

    Parameters
    ----------
    signal
        ``signal[batch, channel]``.
    signed
        Whether signals of several channels may cancel, as changes of a loss do.
    """

    def __init__(self, signal: torch.Tensor, signed: bool) -> None:
        self._signal, self._signed = signal, signed

    def of_channels(self) -> torch.Tensor:
        """``importance[channel]``."""
        return (self._signal**2).mean(0)

    def of_blocks(self, width: int) -> torch.Tensor:
        """``importance[block]`` of successive blocks of channels, as the heads of an attention layer."""
        if self._signed:
            return (self._signal.unflatten(1, (-1, width)).sum(2) ** 2).mean(0)
        return self.of_channels().unflatten(0, (-1, width)).sum(1)


def measure_importance(subject: Subject, groups: list[Group]) -> list[Importance]:
    """Importance of each group's channels, in order."""
    network = subject.network
    if subject.data is None or subject.options.importance_batches == 0:
        return [Importance(_norm(network, group)[None], signed=False) for group in groups]
    signals: list[list[torch.Tensor]] = [[] for _ in groups]
    for _ in _backward_passes(subject):
        for group, found in zip(groups, signals):
            found.append(_signal(network, group))
    network.zero_grad(set_to_none=True)
    return [Importance(torch.stack(found), signed=True) for found in signals]


def _backward_passes(subject: Subject) -> Iterable[int]:
    """Yields after each batch's backward pass, gradients of that batch alone in place."""
    from workloads.training.batches import Examples

    assert subject.data is not None
    network, options = subject.network, subject.options
    device = next(network.parameters()).device
    examples = Examples(subject.module, subject.config, subject.data)
    generator = np.random.default_rng([options.seed, 1])
    network.eval().requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        for number in range(options.importance_batches):
            index = generator.choice(len(examples), min(_BATCH, len(examples)), replace=False)
            batch = (torch.from_numpy(np.array(array)).to(device) for array in examples.arrays(index, generator))
            network.zero_grad(set_to_none=True)
            with torch.backends.cudnn.flags(enabled=False):  # its LSTM has no backward pass in evaluation mode
                network.loss(*batch).backward()  # type: ignore[operator]
            yield number


def _signal(network: nn.Module, group: Group) -> torch.Tensor:
    """``signal[channel]`` of one batch."""
    total = torch.zeros(group.size)
    for place in group.outlets:
        weight = network.get_parameter(place.name)
        if weight.grad is not None:
            total += _by_channel(weight.detach() * weight.grad, place).cpu()
    return total


def _norm(network: nn.Module, group: Group) -> torch.Tensor:
    squares = [_by_channel(network.get_parameter(place.name).detach().float() ** 2, place) for place in group.places]
    return torch.stack(squares).sum(0).sqrt().cpu()


def _by_channel(values: torch.Tensor, place: Place) -> torch.Tensor:
    """Sums over all axes but the channel's."""
    moved = values.movedim(place.axis, 0)
    return moved.unflatten(0, (place.repeats, -1)).transpose(0, 1).flatten(1).sum(1)
