"""Id tables in other forms: int8 rows, and hashed ones."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from workloads.compression.embedding_int8 import Int8Table, quantised_rows  # noqa: E402
from workloads.compression.hashed import HashedTable  # noqa: E402
from workloads.compression.tables import Bag  # noqa: E402


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
