"""Structured pruning: the least important channels and heads are cut out, and what is left is an ordinary model.

The result is a network of a smaller configuration, which loads, trains and runs like any other; its matrices are
really smaller, so that memory, operations and latency fall.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workloads.compression.budget import part_parameters, pruned_config
from workloads.compression.channels import Group, Place, groups_of
from workloads.compression.importance import Importance, measure_importance
from workloads.compression.subject import Step, Subject, replace_module
from workloads.compression.tables import Bag, Lookup
from workloads.compression.tuning import fine_tune
from workloads.errors import InputError
from workloads.model_folder import config_to_dict

if TYPE_CHECKING:
    from workloads.models.base import ModelModule

__all__ = ["apply", "kept_channels", "rebuild", "shrink", "silence"]


def apply(subject: Subject) -> Step:
    """Cut, then fine-tune where there is data.

    Raises
    ------
    InputError
        The model has no part whose channels can be removed, or none that can get narrower.
    """
    groups = [group for part in groups_of(subject.module, subject.network).values() for group in part]
    if not groups:
        problem = f"{subject.model} has no hidden layer whose channels could be removed"
        raise InputError("--method structured", problem, "use another method, as bf16 or embedding-int8")
    config = pruned_config(subject.module, subject.config, groups, subject.options.ratio)
    if config == subject.config:
        problem = f"the layers of {subject.model} are too narrow to lose {subject.options.ratio:g} of their weights"
        raise InputError("--ratio", problem, "give a larger ratio")
    subject.tell("judging channels", 0, 1)
    subject.network.to(subject.options.device)
    importance = measure_importance(subject, groups)
    subject.network.cpu()
    kept = kept_channels(subject.config, config, groups, importance)
    network = shrink(subject.module, subject.network, config, groups, kept, _query_gain(subject.config, config))
    before, after = (part_parameters(subject.module, sizes) for sizes in (subject.config, config))
    network, tuned = fine_tune(subject, network, config=config)
    record: dict[str, Any] = {
        **subject.options.pick("ratio"),
        "judged_by": "weights" if subject.data is None or not subject.options.importance_batches else "first-order",
        "parts": [part.path for part in subject.module.PRUNABLE],
        "removed_share": 1.0 - after / before,
        "from": _changed(subject.config, config),
        "to": _changed(config, subject.config),
        "fine_tuning": tuned,
    }
    return Step(config, network, record)


def kept_channels(before: Any, after: Any, groups: list[Group], importance: list[Importance]) -> list[torch.Tensor]:
    """``channel[kept]`` of each group, rising: the most important ones, as many as the new sizes have."""
    kept: list[torch.Tensor] = []
    heads = torch.zeros(0, dtype=torch.int64)
    for number, (group, judged) in enumerate(zip(groups, importance)):
        if group.role == "plain":
            size = getattr(after, group.field)
            kept.append(_most(judged.of_channels(), size[group.index] if group.index >= 0 else size))
            continue
        width = group.size // getattr(before, group.field)
        if group.role == "query":
            heads = _most(importance[number + 1].of_blocks(width), getattr(after, group.field))
        kept.append(_within_heads(judged.of_channels(), heads, width, _head_dim(after, width)))
    return kept


def shrink(
    module: ModelModule,
    network: nn.Module,
    config: Any,
    groups: list[Group],
    kept: list[torch.Tensor],
    query_gain: float = 1.0,
) -> nn.Module:
    """A network of the smaller size with the kept slices of every weight.

    ``query_gain`` multiplies queries, whose products attention divides by the root of the heads' width.
    """
    state = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    for group, index in zip(groups, kept):
        for place in group.places:
            state[place.name] = state[place.name].index_select(place.axis, _rows(place, group, index))
        if group.role == "query":
            for place in group.outlets:
                state[place.name] *= query_gain
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[]):
        smaller = module.build(config)
    _carry_tables_over(network, smaller)
    smaller.to(device).load_state_dict(state)
    return smaller.eval()


def _carry_tables_over(network: nn.Module, smaller: nn.Module) -> None:
    """Tables that an earlier step put in the place of plain ones; pruning leaves their widths as they are."""
    copies: dict[int, Any] = {}
    for path, layer in network.named_modules(remove_duplicate=False):
        if isinstance(layer, Lookup | Bag):
            replace_module(smaller, path, copy.deepcopy(layer, copies))


def silence(network: nn.Module, groups: list[Group], kept: list[torch.Tensor]) -> None:
    """Set the slices of channels that are not kept to zero, in place: what `shrink` must compute the same as."""
    with torch.no_grad():
        for group, index in zip(groups, kept):
            for place in group.places:
                weight = network.get_parameter(place.name)
                gone = torch.ones(weight.shape[place.axis], dtype=torch.bool)
                gone[_rows(place, group, index)] = False
                weight.index_fill_(place.axis, gone.nonzero().flatten(), 0.0)


def rebuild(network: nn.Module, record: dict[str, Any]) -> nn.Module:
    """The network as it is: the card's configuration has the smaller sizes already."""
    return network


def _rows(place: Place, group: Group, index: torch.Tensor) -> torch.Tensor:
    """Positions of the channels along a place's axis, in every stacked block."""
    return torch.cat([index + block * group.size for block in range(place.repeats)])


def _most(importance: torch.Tensor, count: int) -> torch.Tensor:
    """Positions of the largest values, rising."""
    return torch.sort(torch.topk(importance, count).indices).values


def _within_heads(importance: torch.Tensor, heads: torch.Tensor, width: int, kept_width: int) -> torch.Tensor:
    """The most important channels of each kept head."""
    return torch.cat(
        [_most(importance[head * width : (head + 1) * width], kept_width) + head * width for head in heads.tolist()]
    )


def _head_dim(config: Any, width: int) -> int:
    return getattr(config, "head_dim", width)


def _query_gain(before: Any, after: Any) -> float:
    """Attention divides by the root of the heads' width; narrower heads must not sharpen it."""
    if not hasattr(before, "head_dim"):
        return 1.0
    return math.sqrt(after.head_dim / before.head_dim)


def _changed(sizes: Any, other: Any) -> dict[str, Any]:
    """Fields that differ, as JSON has them."""
    return {name: value for name, value in config_to_dict(sizes).items() if config_to_dict(other)[name] != value}
