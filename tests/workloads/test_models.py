"""The torch models: shapes, weight counts, and that they compute what they say."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.workloads.tiny_models import TINY  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402
from workloads.models.sampling import zipf_ids  # noqa: E402


def _run(name: str, batch: int, seed: int = 0) -> tuple[object, tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    module, config = model_module(name), TINY[name]
    torch.manual_seed(seed)
    network = module.build(config).eval()
    inputs = tuple(
        torch.from_numpy(array) for array in module.example_inputs(config, batch, np.random.default_rng(seed))
    )
    with torch.inference_mode():
        outputs = network(*inputs)
    return network, inputs, outputs if isinstance(outputs, tuple) else (outputs,)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_parameter_count_is_that_of_the_module(name: str) -> None:
    module = model_module(name)
    for config in (TINY[name], module.default_config()):
        with torch.device("meta"):
            network = module.build(config)
        held = [*network.parameters(), *(buffer for buffer in network.buffers() if buffer.is_floating_point())]
        assert sum(tensor.numel() for tensor in held) == config.parameter_count()
        tables = [part for part in network.modules() if isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag)]
        assert sum(table.weight.numel() for table in tables) == config.embedding_count()


@pytest.mark.parametrize("name", MODEL_NAMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_one_row_of_output_for_each_row_of_input(name: str, batch: int) -> None:
    _, _, outputs = _run(name, batch)
    assert all(len(output) == batch for output in outputs)
    assert all(bool(torch.isfinite(output).all()) for output in outputs)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_rows_do_not_depend_on_their_batch(name: str) -> None:
    network, inputs, outputs = _run(name, 5)
    with torch.inference_mode():
        alone = network(*(tensor[2:3] for tensor in inputs))
    alone = alone if isinstance(alone, tuple) else (alone,)
    torch.testing.assert_close(alone[0][0], outputs[0][2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_a_step_of_training_lowers_the_loss(name: str) -> None:
    network, inputs, _ = _run(name, 8)
    network.train()
    for part in network.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        outputs = network(*inputs)
        scores = outputs[0] if isinstance(outputs, tuple) else outputs
        loss = ((scores - 0.3) ** 2).mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[1] < losses[0]


def test_two_tower_finds_the_best_items() -> None:
    network, inputs, (scores, items) = _run("two_tower", 4)
    with torch.inference_mode():
        parts = (network.user_table(inputs[0]), network.history_table(inputs[1]), inputs[2])
        every = network.tower(torch.cat(parts, dim=1)) @ network.item_vectors.T
    expected = 1 + np.argsort(-every.numpy()[:, 1:], axis=1)[:, : TINY["two_tower"].top_k]
    assert items.tolist() == expected.tolist()
    assert bool((scores.diff(dim=1) <= 0).all())


def test_dlrm_reads_each_table_in_its_own_rows() -> None:
    """The stacked table gives the same as one table for each column."""
    network, (dense, sparse), (score,) = _run("dlrm", 6)
    tables = torch.split(network.table.weight, list(TINY["dlrm"].table_rows))
    with torch.inference_mode():
        bottom = network.bottom(dense)
        vectors = [bottom, *(table[sparse[:, column].long()] for column, table in enumerate(tables))]
        products = [(vectors[row] * vectors[column]).sum(dim=1) for row in range(len(vectors)) for column in range(row)]
        expected = torch.sigmoid(network.top(torch.cat((bottom, torch.stack(products, dim=1)), dim=1))).squeeze(1)
    torch.testing.assert_close(score, expected)


def test_bert_reranker_reads_every_position() -> None:
    network, (token,), (score,) = _run("bert_reranker", 1)
    for position in range(token.shape[1]):
        changed = token.clone()
        changed[0, position] = (changed[0, position] + 1) % TINY["bert_reranker"].vocabulary
        with torch.inference_mode():
            assert abs(network(changed).item() - score.item()) > 1e-9, position


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean dlrm"):
        model_module("dlmr")


def test_zipf_ids_follow_their_law() -> None:
    """The most frequent row's share, and the share of the next nine, against the bounded Pareto law."""
    rows, draws, exponent = 10_000, 400_000, 1.05
    ids = zipf_ids(np.random.default_rng(3), rows, (draws,), exponent)
    assert ids.min() >= 0
    assert ids.max() < rows
    counts = np.sort(np.bincount(ids, minlength=rows))[::-1]

    def below(rank: float) -> float:
        return (rank ** (1 - exponent) - 1) / ((rows + 1) ** (1 - exponent) - 1)

    for first, last in ((1, 1), (2, 10)):
        share = below(last + 1) - below(first)
        sigma = (share * (1 - share) / draws) ** 0.5
        assert abs(counts[first - 1 : last].sum() / draws - share) < 6 * sigma
    assert len(np.unique(zipf_ids(np.random.default_rng(0), 3, (1000,)))) == 3


def test_zipf_ids_reach_every_row_once() -> None:
    """Popular rows are spread, none is lost: ranks map one to one onto rows."""
    for rows in (1, 2, 24, 1460, 100_003):
        ranks = np.arange(rows, dtype=np.int64)
        assert len(np.unique((ranks * 2_654_435_761) % rows)) == rows
