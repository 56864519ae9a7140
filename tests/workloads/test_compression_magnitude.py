"""Magnitude pruning: the right zeros, held while training, and a file that gives back every bit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from tests.workloads.compression_subjects import subject_of  # noqa: E402
from workloads.compression import sparse_file  # noqa: E402
from workloads.compression.magnitude import prunable_weights, prune_smallest, zero_holder  # noqa: E402


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
