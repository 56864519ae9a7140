"""Each compression method does what it says, on small networks."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from workloads.compression import sparse_file
from workloads.compression.budget import part_parameters, pruned_config, rounded
from workloads.compression.channels import Group, groups_of
from workloads.compression.embedding_int8 import Int8Table, quantised_rows
from workloads.compression.hashed import HashedTable
from workloads.compression.importance import Importance, measure_importance
from workloads.compression.low_rank import factors
from workloads.compression.magnitude import prunable_weights, prune_smallest, zero_holder
from workloads.compression.methods import METHODS, steps_of
from workloads.compression.options import CompressOptions
from workloads.compression.padded_linear import PaddedLinear
from workloads.compression.structured import kept_channels, shrink, silence
from workloads.compression.students import student_config
from workloads.compression.subject import Subject
from workloads.compression.tables import Bag
from workloads.errors import InputError
from workloads.interactions.synthetic import synthetic_data
from workloads.models import MODEL_NAMES, model_module

DATA = synthetic_data(users=30, items=25, rows=500)
PRUNABLE = ("dlrm", "neumf", "two_tower", "autoencoder", "lstm_two_tower", "sasrec", "bert4rec", "bert_reranker")
SMALLER: dict[str, dict[str, Any]] = {
    "dlrm": {"bottom": (32, 16), "top": (64, 48, 32), "dim": 8},
    "sasrec": {"width": 16, "heads": 4, "head_dim": 8, "feed_forward": 64, "history_length": 6, "layers": 2},
    "bert4rec": {"width": 16, "heads": 2, "head_dim": 16, "feed_forward": 64, "length": 6, "layers": 1},
    "bert_reranker": {"width": 16, "heads": 2, "head_dim": 8, "feed_forward": 64, "layers": 1},
    "lstm_two_tower": {"dim": 8, "hidden": 24, "item_hidden": 16, "history_length": 5, "audience_length": 4},
    "two_tower": {"dim": 8, "hidden": (32, 16), "item_hidden": (16,), "history_length": 5},
    "autoencoder": {"hidden": 16, "latent": 8, "decoder_hidden": (24,), "history_length": 8},
    "neumf": {"product_dim": 8, "layer_dim": 8, "hidden": (32, 16), "out": 8},
    "biased_mf": {"dim": 8},
}


def subject_of(name: str, data: Any = DATA, seed: int = 0, **options: Any) -> Subject:
    module = model_module(name)
    config = module.config_for(DATA, **SMALLER[name])
    torch.manual_seed(seed)
    network = module.build(config).eval()
    with torch.no_grad():
        for weight in network.parameters():  # some start near zero, where nothing would make a difference
            weight.add_(torch.randn(weight.shape) * 0.2)
    options = {"importance_batches": 1, **options}
    card = {"data": {}, "training": {}, "metrics": {}, "sizes": {}, "weights_sha256": "0" * 64}
    return Subject(name, module, config, network, card, data, CompressOptions(**options), lambda *_: None)


def outputs_of(subject: Subject, network: nn.Module, rows: int = 5) -> torch.Tensor:
    inputs = subject.module.example_inputs(subject.config, rows, np.random.default_rng(1))
    with torch.no_grad():
        found = network(*(torch.from_numpy(np.array(array)) for array in inputs))
    return found[0] if isinstance(found, tuple) else found


def all_groups(subject: Subject) -> list[Group]:
    return [group for part in groups_of(subject.module, subject.network).values() for group in part]


# --- structured ---------------------------------------------------------------------------------------


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
    from workloads.training.batches import Examples

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


# --- magnitude and its file ---------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.9])
def test_magnitude_leaves_the_asked_share_of_zeros_and_the_largest_weights(amount: float) -> None:
    network = subject_of("dlrm").network
    names = prunable_weights(network, (nn.Linear,))
    before = torch.cat([network.get_parameter(name).detach().flatten().abs() for name in names])
    prune_smallest(network, names, amount)
    after = torch.cat([network.get_parameter(name).detach().flatten() for name in names])
    assert int((after == 0).sum()) == round(amount * before.numel())
    assert before[after != 0].min() >= before[after == 0].max()
    assert not any(torch.signbit(after[after == 0]))


def test_zeros_are_held_while_training() -> None:
    network = subject_of("neumf").network
    names = prunable_weights(network, (nn.Linear,))
    prune_smallest(network, names, 0.7)
    zero = {name: network.get_parameter(name) == 0 for name in names}
    hold = zero_holder(network, names)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        sum(weight.sum() for weight in network.parameters()).backward()
        optimizer.step()
        hold(network)
    for name in names:
        assert torch.equal(network.get_parameter(name) == 0, zero[name])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=0, max_size=3),
    st.sampled_from([torch.float32, torch.bfloat16, torch.int8, torch.int64]),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
def test_sparse_files_give_back_every_bit(shape: list[int], dtype: torch.dtype, zeros: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tensor = (torch.randn(shape, generator=generator) * 50).to(dtype)
    tensor = torch.where(torch.rand(shape, generator=generator) < zeros, torch.zeros((), dtype=dtype), tensor)
    parts, how = sparse_file.encode(tensor)
    back = parts[""] if how is None else sparse_file.decode(parts, how)
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)
    assert sum(part.nbytes for part in parts.values()) <= tensor.nbytes


def test_the_smallest_layout_is_taken_and_negative_zeros_survive() -> None:
    dense = torch.randn(200, 300)
    assert sparse_file.encode(dense)[1] is None
    for kept, layout in ((0.3, "bitmask"), (0.005, "csr")):
        sparse = torch.where(torch.rand(dense.shape, generator=torch.Generator().manual_seed(0)) < kept, dense, 0.0)
        parts, how = sparse_file.encode(sparse)
        assert how is not None
        assert how["layout"] == layout
        values = 4 * int((sparse != 0).sum())
        places = dense.numel() // 8 if layout == "bitmask" else 2 * int((sparse != 0).sum()) + 4 * len(dense)
        assert sum(part.nbytes for part in parts.values()) == values + places
    minus = torch.tensor([[-0.0, 0.0, 0.0, 0.0] * 64])
    parts, how = sparse_file.encode(minus)
    assert how is not None
    assert torch.equal(torch.signbit(sparse_file.decode(parts, how)), torch.signbit(minus))


# --- tables -------------------------------------------------------------------------------------------


def test_int8_rows_are_off_by_half_a_scale_at_most() -> None:
    weight = torch.randn(50, 16) * torch.logspace(-6, 6, 50)[:, None]
    weight[7] = 0.0
    rows, scale = quantised_rows(weight)
    assert rows.dtype == torch.int8
    assert bool(((rows * scale - weight).abs() <= scale / 2 * (1 + 1e-5)).all())
    assert torch.equal((rows * scale)[7], weight[7])
    assert torch.equal(rows.abs().amax(1)[weight.abs().amax(1) > 0], torch.full((49,), 127, dtype=torch.int8))


@pytest.mark.parametrize("mode", ["sum", "mean"])
@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_bag_of_a_compressed_table_equals_torchs(mode: str, padding: int | None, weighted: bool) -> None:
    if weighted and mode == "mean":
        pytest.skip("torch has no weighted mean")
    layer = nn.EmbeddingBag(20, 8, mode=mode, padding_idx=padding)
    table = Int8Table.of(layer)
    layer.weight.data = table.weight
    ids = torch.randint(0, 20, (6, 5), dtype=torch.int32)
    ids[0] = 0
    weights = torch.rand(6, 5) if weighted else None
    torch.testing.assert_close(Bag(table, mode)(ids, None, weights), layer(ids, None, weights))
    with pytest.raises(ValueError, match="matrix of ids"):
        Bag(table, mode)(ids.flatten(), torch.tensor([0, 3]))


def test_hashed_tables_have_the_promised_size_and_a_pair_for_every_id() -> None:
    table = HashedTable(103, 8, padding_idx=0, shared=10, spread=0.1)
    assert sum(p.numel() for p in table.parameters()) == (11 + 10) * 8
    ids = torch.arange(103)
    assert torch.equal(table(ids), table.weight)
    assert torch.equal(table(ids[:1]), torch.zeros(1, 8))
    assert len(torch.unique(table(ids), dim=0)) == 103
    table(ids[:1]).sum().backward()
    assert table.quotient.weight.grad is not None
    assert not table.quotient.weight.grad.any()


# --- small things -------------------------------------------------------------------------------------


def test_low_rank_factors_are_the_nearest_product() -> None:
    layer = nn.Linear(12, 10)
    pair = factors(layer, 4)
    values = torch.linalg.svdvals(layer.weight.detach())
    product = pair[1].weight @ pair[0].weight
    assert float(((layer.weight - product).detach() ** 2).sum()) == pytest.approx(
        float((values[4:] ** 2).sum()), rel=1e-4
    )
    full = factors(layer, 10)
    x = torch.randn(3, 12)
    torch.testing.assert_close(full(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [(16, 8), (13, 9), (9, 16)])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (30,)])
def test_a_padded_layer_computes_the_same(sizes: tuple[int, int], shape: tuple[int, ...]) -> None:
    layer = nn.Linear(*sizes)
    padded = PaddedLinear.of(layer)
    assert padded.weight.shape[0] % 8 == 0
    assert padded.weight.shape[1] % 8 == 0
    values = torch.randn(*shape, sizes[0])
    torch.testing.assert_close(padded(values), layer(values))


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_students_are_narrower_and_can_be_built(name: str) -> None:
    module = model_module(name)
    teacher = module.config_for(DATA)
    counts = [teacher.parameter_count()]
    for share in (0.5, 0.25):
        student = student_config(teacher, share)
        with torch.device("meta"):
            built = module.build(student)
        inputs = module.example_inputs(student, 2, np.random.default_rng(0))
        assert all(
            a.shape == b.shape for a, b in zip(inputs, module.example_inputs(teacher, 2, np.random.default_rng(0)))
        )
        counts.append(student.parameter_count())
        del built
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 3


def test_steps_keep_their_order_or_say_which_one_to_use() -> None:
    assert steps_of("structured+int8-dynamic") == ("structured", "int8-dynamic")
    assert all(steps_of(method) == (method,) for method in METHODS)
    with pytest.raises(InputError, match="did you mean structured"):
        steps_of("structred")
    with pytest.raises(InputError, match=r"write structured\+int8-dynamic"):
        steps_of("int8-dynamic+structured")
    for wrong in ("int8-dynamic+int8-weight", "bf16+bf16", "distil+hashed", "bf16+int8-legacy", "", "+"):
        with pytest.raises(InputError):
            steps_of(wrong)


@pytest.mark.parametrize(
    ("option", "value"),
    [("amount", 0.0), ("ratio", 1.0), ("student", "tiny"), ("rows_per_vector", 1), ("temperature", 0.0)],
)
def test_wrong_options_are_named(option: str, value: Any) -> None:
    with pytest.raises(InputError, match=option.replace("_", "-")):
        CompressOptions(**{option: value})
    with pytest.raises(InputError, match="has no options"):
        CompressOptions.from_values({"amuont": 0.5})
