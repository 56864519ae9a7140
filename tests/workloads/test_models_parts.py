"""What single models and their shared parts promise: order of time, padding, corrections, stored vectors, tracing."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.workloads.tiny_models import TINY  # noqa: E402
from tests.workloads.zoo import arrays_to_tensors, made_up, outputs_of, small, train  # noqa: E402
from workloads.interactions.rows import Rows  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402
from workloads.models.in_batch import corrected_logits, in_batch_loss, item_log_share  # noqa: E402
from workloads.models.layers import Mlp, best_items, mlp_count  # noqa: E402
from workloads.models.pointwise import staleness_for, with_stale_knowledge  # noqa: E402
from workloads.models.recurrent import LstmReader, lstm_count  # noqa: E402
from workloads.models.reranker_tokens import ANSWER, BORDER, GRADES, token_rows, tokens  # noqa: E402
from workloads.models.sequences import crop_windows  # noqa: E402
from workloads.models.transformer import Encoder, EncoderSizes  # noqa: E402
from workloads.models.trend import log_trend, trend_days_for  # noqa: E402

RETRIEVAL = [name for name in MODEL_NAMES if model_module(name).UNIT == "requests"]
SEQUENCES = ("sasrec", "bert4rec", "lstm_two_tower", "autoencoder")


def _histories(name: str, rows: int) -> tuple[object, tuple[torch.Tensor, ...]]:
    """A network and inputs whose first array holds full histories."""
    module, config, network = small(name)
    inputs = arrays_to_tensors(module.example_inputs(config, rows, np.random.default_rng(1)))
    return network.eval(), inputs


# --- sequences ----------------------------------------------------------------------------------------


def test_a_later_item_never_changes_an_earlier_position() -> None:
    network, (history,) = _histories("sasrec", 4)
    with torch.no_grad():
        before = network.encode(history)
        for position in range(history.shape[1]):
            changed = history.clone()
            changed[:, position] = changed[:, position] % (made_up().items - 1) + 1
            after = network.encode(changed)
            torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-6)
            assert (after[:, position:] - before[:, position:]).abs().amax(dim=2).min() > 1e-6


def test_a_gap_is_filled_from_both_sides() -> None:
    network, (history,) = _histories("bert4rec", 4)
    with torch.no_grad():
        history = torch.cat((history, history[:, :1]), dim=1)
        before = network.encode(history)
        changed = history.clone()
        changed[:, -1] = changed[:, -1] % (made_up().items - 1) + 1
        assert (network.encode(changed) - before).abs().amax(dim=2).min() > 1e-6


@pytest.mark.parametrize("name", SEQUENCES)
def test_what_stands_in_the_padding_row_does_not_matter(name: str) -> None:
    network, (history, *others) = _histories(name, 3)
    history[0, :3], history[1, :-1], history[2, :] = 0, 0, 0
    tables = [part for part in network.modules() if getattr(part, "padding_idx", None) == 0]
    with torch.no_grad():
        before = network.scores(history, *others)
        for table in tables:
            table.weight[0] = 3.0
        after = network.scores(history, *others)
    rows = slice(0, 2) if name != "autoencoder" else slice(0, 3)
    torch.testing.assert_close(after[rows, 1:], before[rows, 1:])


@pytest.mark.parametrize("name", ["sasrec", "bert4rec"])
def test_padding_positions_are_not_read(name: str) -> None:
    """The positions' vectors under the padding can be anything."""
    network, (history,) = _histories(name, 3)
    history[:, :4] = 0
    with torch.no_grad():
        before = network.scores(history)
        network.positions.weight[:4] = 5.0
        torch.testing.assert_close(network.scores(history), before)


def test_the_lstm_reads_what_it_would_without_padding() -> None:
    torch.manual_seed(0)
    table = torch.nn.Embedding(20, 4, padding_idx=0)
    long, short = LstmReader(4, 6, 9), LstmReader(4, 6, 3)
    short.load_state_dict({k: v for k, v in long.state_dict().items() if k != "place"}, strict=False)
    ids = torch.tensor([[3, 7, 5]])
    padded = torch.nn.functional.pad(ids, (6, 0))
    torch.testing.assert_close(long(padded, table), short(ids, table))
    states, _ = short.lstm(table(ids))
    torch.testing.assert_close(short(ids, table), short.out(states[:, -1]))
    assert sum(p.numel() for p in long.parameters()) == lstm_count(4, 6)


def test_the_autoencoder_reads_a_set() -> None:
    network, (history,) = _histories("autoencoder", 3)
    history = torch.stack([torch.randperm(39)[: history.shape[1]] + 1 for _ in range(3)]).int()
    with torch.no_grad():
        torch.testing.assert_close(network.scores(history.flip(1)), network.scores(history))


def test_the_autoencoder_computes_its_bound() -> None:
    """Against the formulas on dense multi-hot vectors, in evaluation mode, where codes are not drawn."""
    _, config, network = small("autoencoder")
    network.eval()
    history = torch.tensor([[0, 0, 3, 9, 21], [0, 4, 5, 6, 7]]).int()
    hot = torch.zeros(2, config.items)
    for row, ids in enumerate(history):
        hot[row, ids[ids > 0].long()] = 1.0
    with torch.no_grad():
        unit = hot / hot.norm(dim=1, keepdim=True)
        mean, log_variance = network.code(torch.tanh(unit @ network.table.weight + network.first_bias)).chunk(2, dim=1)
        logits = network.decoder(mean)
        logits[:, 0] = float("-inf")
        likelihood = torch.where(hot > 0, torch.log_softmax(logits, dim=1), 0.0).sum(dim=1)
        normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
        divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(dim=1)
        expected = (config.divergence * divergence - likelihood).mean() / 5
        torch.testing.assert_close(network.loss(history, history), expected)


def test_the_next_item_is_asked_for_at_every_position() -> None:
    """SASRec's loss against a loop over users and positions."""
    module, config, network = small("sasrec", dropout=0.0)
    network.eval()
    rows = Rows.of_users(made_up(), np.array([1, 2, 3]), "train")
    history, following = arrays_to_tensors(module.training_batch(rows, config, np.random.default_rng(0)))
    total = 0.0
    with torch.no_grad():
        for user, position in itertools.product(range(3), range(config.history_length)):
            if following[user, position] > 0:
                cut = torch.nn.functional.pad(
                    history[[user], : position + 1], (config.history_length - position - 1, 0)
                )
                shifted = network.positions.weight.roll(config.history_length - position - 1, 0)
                kept = network.positions.weight.clone()
                network.positions.weight.copy_(shifted)
                logits = network.scores(cut)[0, 1:]
                network.positions.weight.copy_(kept)
                total -= torch.log_softmax(logits, dim=0)[following[user, position].long() - 1].item()
        expected = total / following.numel()
        assert network.loss(history, following).item() == pytest.approx(expected, rel=1e-4)


def test_masks_hide_true_items_and_sometimes_the_last_alone() -> None:
    module, config, _ = small("bert4rec")
    rows = Rows.of_users(made_up(), np.unique(made_up().train.user), "train")
    token, hidden = module.training_batch(rows, config, np.random.default_rng(0))
    assert np.all((token == config.items) == (hidden > 0))
    assert np.all(hidden.max(axis=1) > 0)
    alone = (hidden[:, -1] > 0) & ((hidden > 0).sum(axis=1) == 1)
    assert 0.3 < alone.mean() < 0.8


@given(st.integers(0, 12), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_windows_are_stretches_of_the_history(items: int, length: int, seed: int) -> None:
    history = np.zeros((2, 12), np.int32)
    history[0, 12 - items :] = np.arange(1, items + 1)
    window = crop_windows(history, length, np.random.default_rng(seed))
    found = window[0][window[0] > 0]
    assert window.shape == (2, length)
    assert len(found) == min(items, length)
    assert np.all(np.diff(found) == 1)
    assert np.all(window[0, length - len(found) :] > 0)
    assert not window[1].any()


def test_windows_reach_every_place() -> None:
    history = np.tile(np.arange(1, 8), (500, 1))
    first = crop_windows(history, 3, np.random.default_rng(0))[:, 0]
    counts = np.bincount(first, minlength=6)[1:]
    assert counts.sum() == 500
    assert np.all(np.abs(counts - 100) < 6 * np.sqrt(100 * 0.8))


# --- retrieval ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RETRIEVAL)
def test_the_best_items_are_those_of_all_scores(name: str) -> None:
    module, config, network = small(name, top_k=9)
    train(module, config, network, 5)
    module.refresh(network, made_up(), config, "train")
    rows = Rows.of_users(made_up(), np.arange(10), "train")
    every = outputs_of(module, config, network, rows).numpy()
    with torch.no_grad():
        scores, items = network(*arrays_to_tensors(module.inputs(rows, config)))
    expected = 1 + np.argsort(-every[:, 1:], axis=1, kind="stable")[:, :9]
    np.testing.assert_array_equal(np.sort(items, axis=1), np.sort(expected, axis=1))
    np.testing.assert_allclose(scores, np.take_along_axis(every, items.numpy().astype(int), axis=1), rtol=1e-6)
    assert items.dtype == torch.int32


def test_best_items_never_show_the_padding() -> None:
    scores, items = best_items(torch.tensor([[9.0, 1.0, 3.0, 2.0]]), 2)
    assert items.tolist() == [[2, 3]]
    assert scores.tolist() == [[3.0, 2.0]]


@pytest.mark.parametrize("name", ["two_tower", "lstm_two_tower"])
def test_stored_vectors_are_the_item_towers(name: str) -> None:
    """One by one as all at once, of length 1, and different once more is known; weights and mode stay."""
    module, config, network = small(name)
    weights = {place: tensor.clone() for place, tensor in network.named_parameters()}
    network.train()
    module.refresh(network, made_up(), config, "train")
    after_train = network.item_vectors.clone()
    assert network.training
    assert all(torch.equal(weights[place], tensor) for place, tensor in network.named_parameters())
    torch.testing.assert_close(after_train[1:].norm(dim=1), torch.ones(made_up().items - 1))
    assert not after_train[0].any()
    network.eval()
    rows = Rows.of_pairs(made_up(), np.array([0]), np.array([7]), "train")
    arguments = module.training_batch(rows, config, np.random.default_rng(0))[len(module.inputs(rows, config)) : -1]
    with torch.no_grad():
        alone = torch.nn.functional.normalize(network.item_vector(*arrays_to_tensors(arguments)))[0]
    torch.testing.assert_close(after_train[7], alone)
    module.refresh(network, made_up(), config, "all")
    assert (network.item_vectors - after_train).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["two_tower", "lstm_two_tower"])
def test_a_query_does_not_know_its_answer(name: str) -> None:
    """User inputs of a training row are the same beside any other item."""
    module, config, _ = small(name)
    rows = Rows.of_interactions(made_up(), "train", np.arange(50, 90))
    other = rows.with_items(np.full(40, 3, np.int32))
    for one, two in zip(module.inputs(rows, config), module.inputs(other, config)):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", [name for name in RETRIEVAL if name != "biased_mf"])
def test_scores_follow_the_trend_by_its_logarithm(name: str) -> None:
    """After training, more is liked of what is popular late; the rest of the score stays."""
    module, config, network = small(name)
    rows = Rows.of_users(made_up(), np.arange(10), "all")
    assert config.trend_days == 7.0
    module.refresh(network, made_up(), config, "all")
    with_trend = outputs_of(module, config, network, rows)
    trend = network.trend.clone()
    network.trend.zero_()
    torch.testing.assert_close(with_trend, outputs_of(module, config, network, rows) + trend.T)
    np.testing.assert_array_equal(trend[:, 0], log_trend(made_up(), "all", 7.0))
    _, plain_config, plain = small(name, trend_days=0.0)
    plain.load_state_dict({key: value for key, value in network.state_dict().items() if key != "trend"})
    assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in network.parameters())
    assert config.parameter_count() - plain_config.parameter_count() == made_up().items


def test_the_trend_compares_late_shares_with_those_of_training() -> None:
    """Against a loop over interactions."""
    data = made_up()
    table = data.known("all").table
    late = np.zeros(data.items)
    for item, time_s in zip(table.item, table.time_s):
        late[item] += np.exp(-(table.time_s[-1] - time_s) / 86_400 / 5.0)
    then = np.array([(data.train.item == item).sum() + 1.0 for item in range(data.items)])
    expected = np.log(late / late.sum() / (then / then.sum()) + 0.02)
    np.testing.assert_allclose(log_trend(data, "all", 5.0), expected, rtol=1e-5)
    assert trend_days_for(data) == 7.0
    assert trend_days_for(dataclasses.replace(data, split="user")) == 0.0


# --- pointwise rows -----------------------------------------------------------------------------------


def test_stale_rows_know_nothing_of_their_last_days() -> None:
    data = made_up()
    rows = Rows.of_interactions(data, "train", np.arange(300, 500))
    stale = with_stale_knowledge(rows, 10.0, np.random.default_rng(0))
    table = data.train
    for fresh_end, end, now_s in zip(rows.before, stale.before, rows.time_s):
        assert end <= fresh_end
        assert end == fresh_end or now_s - table.time_s[end] <= 10 * 86_400
    assert np.mean(stale.before < rows.before) > 0.9
    np.testing.assert_array_equal(stale.target, rows.target)
    assert with_stale_knowledge(rows, 0.0, np.random.default_rng(0)) is rows
    assert staleness_for(data) == 28.0
    assert staleness_for(dataclasses.replace(data, split="user")) == 0.0


def test_biases_shrink_as_ridge_regression_has_them() -> None:
    """A user's penalty, summed over an epoch, is the weight times the square, however many ratings."""
    module, config, network = small("biased_mf", regularisation=3.0, bias_regularisation=5.0)
    rows = Rows.of_interactions(made_up(), "train", np.arange(len(made_up().train)))
    batch = arrays_to_tensors(module.training_batch(rows, config, np.random.default_rng(0)))
    with torch.no_grad():
        for table in (network.user_bias, network.item_bias):
            table.weight[1:].normal_(std=0.1)
        loss = network.loss(*batch).item() * len(rows)
        users, items = np.unique(rows.user), np.unique(rows.item)
        ids = {"user": torch.from_numpy(users).long(), "item": torch.from_numpy(items).long()}
        squares = sum(
            5.0 * (getattr(network, f"{side}_bias").weight[row] ** 2).sum()
            + 3.0 * (getattr(network, f"{side}_table").weight[row] ** 2).sum()
            for side, row in ids.items()
        )
        scores = network.scores(batch[0])[torch.arange(len(rows)), batch[1].long()]
        expected = ((scores - batch[2]) ** 2).sum() + squares
    assert loss == pytest.approx(expected.item(), rel=1e-5)


# --- in-batch softmax ---------------------------------------------------------------------------------


def test_the_softmax_denominator_has_no_bias() -> None:
    """Over all draws of a batch's two other items, weighted by their chances, against the sum over all items."""
    share = np.array([0.1, 0.2, 0.3, 0.4])
    score = torch.tensor([0.3, -1.0, 2.0, 0.5], dtype=torch.float64)
    for own in range(4):
        expected = sum(score[j].exp().item() for j in range(4) if j != own)
        mean = 0.0
        for others in itertools.product(range(4), repeat=2):
            item = torch.tensor([own, *others])
            log_share = torch.from_numpy(np.log(share))[item]
            logits = corrected_logits(score[item].expand(3, 3), item, log_share)
            chance = share[others[0]] * share[others[1]]
            mean += chance * logits[0, 1:].exp().sum().item()
            assert logits[0, 0] == score[own]
        assert mean == pytest.approx(expected)


def test_uniform_shares_shift_all_negatives_alike() -> None:
    query, vector = torch.eye(4), torch.eye(4)
    item, log_share = torch.arange(4), torch.full((4,), -np.log(4.0))
    found = in_batch_loss(query, vector, item, log_share, 1.0).item()
    expected = -np.log(np.e / (np.e + 4.0 * 3 / 3))
    assert found == pytest.approx(expected)


def test_shares_are_those_of_training() -> None:
    share = np.exp(item_log_share(made_up(), np.unique(made_up().train.item)))
    assert share.sum() == pytest.approx(1.0, rel=1e-5)


# --- shared layers ------------------------------------------------------------------------------------


def test_an_mlp_keeps_its_names_whatever_the_dropout() -> None:
    plain, dropping = Mlp((3, 4, 2)), Mlp((3, 4, 2), dropout=0.5)
    dropping.load_state_dict(plain.state_dict())
    values = torch.randn(5, 3)
    torch.testing.assert_close(plain(values), dropping.eval()(values))
    assert [type(part).__name__ for part in dropping] == ["Linear", "ReLU", "Dropout", "Linear"]
    assert isinstance(Mlp((3, 4), last_activation=True)[-1], torch.nn.ReLU)
    assert sum(p.numel() for p in plain.parameters()) == mlp_count((3, 4, 2))


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_encoder_is_torchs(norm_first: bool) -> None:
    """The same as `torch.nn.TransformerEncoder` with the same weights."""
    sizes = EncoderSizes(width=12, layers=2, heads=3, head_dim=4, feed_forward=20, norm_first=norm_first)
    torch.manual_seed(0)
    ours = Encoder(sizes).eval()
    layer = torch.nn.TransformerEncoderLayer(12, 3, 20, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    last = torch.nn.LayerNorm(12) if norm_first else None
    theirs = torch.nn.TransformerEncoder(layer, 2, norm=last, enable_nested_tensor=False).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_(std=0.3)
        for mine, other in zip(ours.layers, theirs.layers):
            parts = (mine.query, mine.key, mine.value)
            other.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
            other.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
            pairs = {
                mine.out: other.self_attn.out_proj, mine.up: other.linear1, mine.down: other.linear2,
                mine.attention_norm: other.norm1, mine.feed_forward_norm: other.norm2,
            }  # fmt: skip
            for source, target in pairs.items():
                target.load_state_dict(source.state_dict())
        if last is not None:
            theirs.norm.load_state_dict(ours.last_norm.state_dict())
        hidden = torch.randn(2, 5, 12)
        there = torch.tensor([[True] * 5, [False, False, True, True, True]])
        torch.testing.assert_close(
            ours(hidden, there[:, None, None, :])[there], theirs(hidden, src_key_padding_mask=~there)[there]
        )
    assert sum(p.numel() for p in ours.parameters()) == sizes.parameter_count()


def test_heads_may_be_fewer_than_the_width_holds() -> None:
    sizes = EncoderSizes(width=12, layers=1, heads=1, head_dim=4, feed_forward=6)
    assert Encoder(sizes)(torch.randn(2, 5, 12)).shape == (2, 5, 12)
    assert sum(p.numel() for p in Encoder(sizes).parameters()) == sizes.parameter_count()


# --- the reranker's sequence --------------------------------------------------------------------------


def test_reranker_tokens_tell_the_pair() -> None:
    data = made_up()
    rows = Rows.of_interactions(data, "test", np.arange(100))
    token, grade = tokens(rows, 28, 12, 4)
    items = 3 + data.users
    assert np.all(token[:, 0] == ANSWER)
    assert np.all(token[:, 1] == 3 + rows.trained_user())
    assert np.all(token[:, 12] == BORDER)
    assert np.all(token[:, 13] == items + rows.trained_item())
    assert token.max() < token_rows(data)
    assert np.array_equal(token[:, 11] - items, rows.history(1)[:, 0])
    assert np.array_equal(token[:, -1] - 3, rows.audience(1)[:, 0])
    assert grade[:, 11].tolist() == (1 + np.rint(rows.history_targets(1)[:, 0] * 10)).astype(int).tolist()
    assert grade.max() < GRADES
    assert not grade[token == 0].any()
    tags = 3 + data.users + data.items + sum(data.user_category_rows) + sum(data.item_category_rows)
    for row in range(100):
        shown = set(token[row][token[row] >= tags] - tags)
        assert shown <= set(np.flatnonzero(data.item_tags[rows.item[row]]))
        assert len(shown) == min(6, data.item_tags[rows.item[row]].sum())


def test_reranker_padding_is_not_read() -> None:
    module, config, network = small("bert_reranker")
    inputs = arrays_to_tensors(module.example_inputs(config, 3, np.random.default_rng(0)))
    inputs[0][:, 5:9] = 0
    network.eval()
    with torch.no_grad():
        before = network(*inputs)
        network.positions.weight[5:9] = 4.0
        network.tokens.weight[0] = -2.0
        torch.testing.assert_close(network(*inputs), before)


# --- every model --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODEL_NAMES)
@settings(max_examples=5, deadline=None)
@given(rows=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_a_row_does_not_depend_on_its_companions(name: str, rows: int, seed: int) -> None:
    module, config, network = small(name)
    module.refresh(network, made_up(), config, "train")
    index = np.random.default_rng(seed).integers(0, len(made_up().test), rows)
    batch = Rows.of_interactions(made_up(), "test", index)
    together = outputs_of(module, config, network, batch)
    alone = torch.cat([outputs_of(module, config, network, batch[[row]]) for row in range(rows)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODEL_NAMES)
@pytest.mark.parametrize("serving", [True, False])
def test_forward_is_one_graph(name: str, serving: bool) -> None:
    """Nothing in it waits for a value or branches on one: torch traces it whole."""
    if serving:
        module, config = model_module(name), TINY[name]
        network = module.build(config)
    else:
        module, config, network = small(name)
    network.eval()
    inputs = arrays_to_tensors(module.example_inputs(config, 3, np.random.default_rng(0)))
    torch._dynamo.reset()
    with torch._dynamo.config.patch(allow_rnn=True), torch.inference_mode():
        traced = torch.compile(network, backend="eager", fullgraph=True)
        found, expected = traced(*inputs), network(*inputs)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_half_precision_answers_nearly_the_same(name: str) -> None:
    module, config, network = small(name)
    rows = Rows.of_interactions(made_up(), "test", np.arange(20))
    full = outputs_of(module, config, network, rows).clone()
    half = outputs_of(module, config, network.to(torch.bfloat16), rows)
    assert half.dtype == torch.bfloat16
    assert (full - half.float()).abs().max() < 0.05 * full.abs().max() + 0.02
