"""Structured pruning: what is left computes what it should, and is as small as it was asked to be."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from tests.workloads.compression_subjects import DATA, all_groups, outputs_of, subject_of  # noqa: E402
from workloads.compression.budget import part_parameters, pruned_config, rounded  # noqa: E402
from workloads.compression.channels import groups_of  # noqa: E402
from workloads.compression.importance import Importance, measure_importance  # noqa: E402
from workloads.compression.structured import kept_channels, shrink, silence  # noqa: E402
from workloads.training.batches import Examples  # noqa: E402

PRUNABLE = ("dlrm", "neumf", "two_tower", "autoencoder", "lstm_two_tower", "sasrec", "bert4rec", "bert_reranker")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small layers on many threads wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", PRUNABLE)
@pytest.mark.parametrize("ratio", [0.3, 0.7])
def test_a_shrunk_network_equals_the_original_with_its_channels_silenced(name: str, ratio: float) -> None:
    subject = subject_of(name)
    groups = all_groups(subject)
    config = pruned_config(subject.module, subject.config, groups, ratio)
    kept = kept_channels(subject.config, config, groups, measure_importance(subject, groups))
    gain = (getattr(config, "head_dim", 1) / getattr(subject.config, "head_dim", 1)) ** 0.5
    small = shrink(subject.module, subject.network, config, groups, kept, gain)
    silenced = copy.deepcopy(subject.network)
    silence(silenced, groups, kept)
    torch.testing.assert_close(outputs_of(subject, small), outputs_of(subject, silenced), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(outputs_of(subject, small), outputs_of(subject, subject.network), atol=1e-5)


@pytest.mark.parametrize("name", PRUNABLE)
def test_structured_pruning_meets_its_budget_in_the_tensors_themselves(name: str) -> None:
    subject = subject_of(name)
    groups = all_groups(subject)
    before = part_parameters(subject.module, subject.config)
    config = pruned_config(subject.module, subject.config, groups, 0.6)
    paths = tuple(f"{part.path}." for part in subject.module.PRUNABLE)
    built = subject.module.build(config)
    after = sum(weight.numel() for path, weight in built.named_parameters() if path.startswith(paths))
    assert after == part_parameters(subject.module, config)
    narrowest = pruned_config(subject.module, subject.config, groups, 0.999)
    assert after <= 0.4 * before or config == narrowest
    assert sum(p.numel() for p in built.parameters()) < sum(p.numel() for p in subject.network.parameters())


def test_budget_is_used_up_as_far_as_widths_of_eight_allow() -> None:
    subject = subject_of("dlrm")
    module, config = subject.module, replace(subject.config, bottom=(256, 64), top=(512, 512, 256))
    groups = [g for part in groups_of(module, module.build(config)).values() for g in part]
    before = part_parameters(module, config)
    for ratio in (0.3, 0.5, 0.7, 0.9):
        after = part_parameters(module, pruned_config(module, config, groups, ratio))
        assert 0.93 * (1 - ratio) * before < after <= (1 - ratio) * before


def test_heads_are_removed_whole_before_they_get_narrower() -> None:
    subject = subject_of("sasrec")
    groups = all_groups(subject)
    half = pruned_config(subject.module, subject.config, groups, 0.5)
    assert (half.heads, half.head_dim) in ((1, 8), (2, 8))
    least = pruned_config(subject.module, replace(subject.config), groups, 0.97)
    assert least.heads == 1
    assert least.feed_forward == 8


@given(st.integers(1, 4096), st.floats(0, 1))
def test_rounded_widths_stay_within_bounds(size: int, share: float) -> None:
    kept = rounded(size, share)
    assert 1 <= kept <= size
    assert kept <= max(share * size, 8)
    if size >= 32:
        assert kept % 8 == 0 or kept == size


def test_the_channels_that_matter_are_kept() -> None:
    """Only ten hidden units reach the output: those are kept, by weights and by the loss alike."""
    subject = subject_of("dlrm", importance_batches=2)
    path = "top.linear_1"
    with torch.no_grad():
        subject.network.get_parameter(f"{path}.weight")[:, 10:] = 0.0
        subject.network.get_parameter("top.linear_0.weight")[10:] = 0.0
        subject.network.get_parameter("top.linear_0.bias")[10:] = 0.0
    groups = all_groups(subject)
    number = next(i for i, g in enumerate(groups) if g.outlets[0].name == f"{path}.weight")
    by_loss, by_weight = (
        measure_importance(chosen, groups)[number].of_channels() for chosen in (subject, replace(subject, data=None))
    )
    assert set(torch.topk(by_weight, 10).indices.tolist()) == set(range(10))
    assert not by_loss[10:].any()
    assert int((by_loss[:10] > 0).sum()) >= 5  # a unit that is never active does not matter either


def test_importance_is_the_change_of_the_loss_to_first_order() -> None:
    """Scaling a channel's outgoing weights by (1 - e) changes the loss by e times its signal."""
    subject = subject_of("sasrec", importance_batches=1)
    groups = all_groups(subject)
    number = next(i for i, g in enumerate(groups) if g.field == "feed_forward")
    signal = measure_importance(subject, groups)[number].of_channels().sqrt()
    channel = int(signal.argmax())
    generator = np.random.default_rng([subject.options.seed, 1])
    examples = Examples(subject.module, subject.config, DATA)
    index = generator.choice(len(examples), min(256, len(examples)), replace=False)
    batch = [torch.from_numpy(np.array(a)) for a in examples.arrays(index, generator)]
    weight = subject.network.get_parameter(groups[number].outlets[0].name)
    losses = []
    with torch.no_grad():
        for scale in (1.001, 0.999):
            original = weight[:, channel].clone()
            weight[:, channel] *= scale
            losses.append(float(subject.network.double().loss(*batch)))
            subject.network.float()
            weight = subject.network.get_parameter(groups[number].outlets[0].name)
            weight[:, channel] = original
    assert abs(losses[0] - losses[1]) / 0.002 == pytest.approx(float(signal[channel]), rel=0.05)


def test_signals_within_a_head_may_cancel() -> None:
    signal = torch.tensor([[1.0, -1.0, 0.5, 0.5]])
    assert Importance(signal, signed=True).of_blocks(2).tolist() == [0.0, 1.0]
    assert Importance(signal, signed=False).of_blocks(2).tolist() == [2.0, 0.5]
