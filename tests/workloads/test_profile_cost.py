"""Operations and bytes of a forward pass, against counts made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.functional import scaled_dot_product_attention  # noqa: E402

from tests.workloads.tiny_models import TINY  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402
from workloads.models.cost import flops, forward_cost, moved_bytes, stored_bytes  # noqa: E402


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(16, 48)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.inner(x).view(len(x), -1, 3, 2, 8).permute(2, 0, 3, 1, 4)
        return scaled_dot_product_attention(q, k, v)


class Lookups(nn.Module):
    """A table read by id, one read in full, and one tied to a product."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 4)
        self.bag = nn.EmbeddingBag(50, 4, mode="mean")
        self.places = nn.Embedding(3, 4)
        self.tied = nn.Embedding(20, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.table(ids) + self.places.weight + self.bag(ids).unsqueeze(1) + self.tied(ids % 20)
        return x @ self.tied.weight.T


def test_layers_count_as_on_paper() -> None:
    network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32))
    cost = forward_cost(network, (np.zeros((16, 64), dtype=np.float32),))
    assert cost.flops == 2 * 16 * (64 * 128 + 128 * 32)
    assert cost.weight_bytes == 4 * (64 * 128 + 128 + 128 * 32 + 32) == stored_bytes(network)
    assert (cost.input_bytes, cost.output_bytes) == (4 * 16 * 64, 4 * 16 * 32)
    assert cost.gathered_bytes == cost.table_bytes == 0


def test_attention_and_recurrent_layers_are_not_hidden_by_fused_kernels() -> None:
    attention = flops(Attention().eval(), (torch.zeros(3, 5, 16),))
    assert attention == 2 * 3 * 5 * 16 * 48 + 2 * (2 * 3 * 2 * 5 * 5 * 8)
    lstm = forward_cost(nn.LSTM(8, 16, batch_first=True), (torch.zeros(2, 5, 8),))
    assert lstm.flops == 2 * 2 * 5 * 4 * 16 * (8 + 16)
    assert lstm.weight_bytes == 4 * 4 * 16 * (8 + 16 + 2)
    assert torch.backends.mha.get_fastpath_enabled()


def test_rows_are_counted_once_and_only_those_asked_for() -> None:
    ids = torch.tensor([[1, 1, 2], [2, 7, 1]])
    network = Lookups()
    cost = forward_cost(network, (ids,))
    rows = 3 * 4 * 4
    assert cost.gathered_bytes == 2 * rows, (
        "three distinct rows of the table and of the bag; the tied one is read whole"
    )
    assert cost.weight_bytes == 4 * 4 * (3 + 20)
    assert cost.table_bytes == 4 * 4 * (100 + 50)
    assert moved_bytes(network, (ids,)) == cost.weight_bytes + cost.gathered_bytes + ids.nbytes + 2 * 3 * 20 * 4
    on_paper = forward_cost(network.to("meta"), (ids,))
    assert on_paper.flops == cost.flops
    assert on_paper.gathered_bytes == 2 * 6 * 4 * 4, "without values, each id may be another row"


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_zoo(name: str) -> None:
    """Operations grow in proportion to the batch; no more moves than is stored, given and returned."""
    module = model_module(name)
    network = module.build(TINY[name]).eval()
    costs: list[Any] = [
        forward_cost(network, module.example_inputs(TINY[name], size, np.random.default_rng(0))) for size in (2, 4, 8)
    ]
    counts = [cost.flops for cost in costs]
    assert counts[0] >= 0
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])
    for cost in costs:
        assert cost.weight_bytes + cost.gathered_bytes <= stored_bytes(network)
        assert cost.moved_bytes > 0
    assert stored_bytes(network) >= 4 * TINY[name].parameter_count()


def test_quantised_layers_read_fewer_bytes_for_the_same_operations() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    inputs = (torch.randn(16, 64),)
    plain = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32)).eval()
    before = forward_cost(plain, inputs)
    for config in (quantization.Int8WeightOnlyConfig(), quantization.Int8DynamicActivationInt8WeightConfig()):
        network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32)).eval()
        quantization.quantize_(network, config)
        after = forward_cost(network, inputs)
        assert after.flops == before.flops
        assert 0.25 * before.weight_bytes < after.weight_bytes < 0.3 * before.weight_bytes
        assert after.weight_bytes <= stored_bytes(network) < 1.02 * after.weight_bytes, "zero points are not read"
