"""Online updates: the rows concerned move as in a full pass, everything else stays bit for bit."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.workloads.zoo import SMALL, arrays_to_tensors, made_up  # noqa: E402
from workloads.errors import InputError  # noqa: E402
from workloads.interactions import InteractionTable  # noqa: E402
from workloads.model_folder import load_model, read_card, save_model  # noqa: E402
from workloads.models import MODEL_NAMES, model_module  # noqa: E402
from workloads.models.biased_mf import BiasedMfConfig  # noqa: E402
from workloads.training import OnlineSettings, apply_delta, update_online  # noqa: E402
from workloads.training.delta import read_delta  # noqa: E402
from workloads.training.evaluation import NetworkScorer  # noqa: E402
from workloads.training.id_tables import STORED, STORED_VECTORS, id_rows  # noqa: E402
from workloads.training.online import _batches, _joined  # noqa: E402

NEW = made_up().test.take(np.arange(40))


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model_folder(name: str, folder: Path, **changes: Any) -> Path:
    module = model_module(name)
    config = module.config_for(made_up(), **(SMALL[name] | changes))
    torch.manual_seed(1)
    network = module.build(config)
    module.refresh(network, made_up(), config, "train")
    card = {"data": {"digest": made_up().digest}, "training": {"refit": False}}
    save_model(folder / name, model=name, config=config, network=network, card=card)
    return folder / name


def concerned(name: str) -> dict[str, torch.Tensor]:
    found = id_rows(name, made_up(), np.unique(NEW.user), np.unique(NEW.item))
    return {table: torch.from_numpy(rows) for table, rows in found.items()}


def test_new_interactions_take_their_places_in_time() -> None:
    base = made_up()
    late = InteractionTable(NEW.user, NEW.item, NEW.rating, NEW.time_s.copy())
    late.time_s[:3] = base.train.time_s[[10, 10, 700]]
    joined, places = _joined(base, late)
    assert len(joined.train) == len(base.train) + len(late)
    assert (np.diff(joined.train.time_s) >= 0).all()
    order = np.argsort(late.time_s, kind="stable")
    assert np.array_equal(joined.train.user[places], late.user[order])
    assert np.array_equal(joined.train.rating[places], late.rating[order])
    rest = np.delete(np.arange(len(joined.train)), places)
    assert np.array_equal(joined.train.item[rest], base.train.item)


def test_what_earlier_updates_saw_is_known(tmp_path: Path) -> None:
    folder = model_folder("dlrm", tmp_path)
    first, second = NEW.take(np.arange(20)), NEW.take(np.arange(20, 40))
    updated = update_online(folder, made_up(), second, seen=first)
    assert len(updated.data.train) == len(made_up().train) + 40
    assert updated.delta.facts["interactions"] == 20


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("name", MODEL_NAMES)
def test_an_update_equals_a_full_pass_restricted_to_the_same_rows(name: str, optimizer: str, tmp_path: Path) -> None:
    """Layers frozen, every table trained densely, in one step; of matrix factorisation in many."""
    folder = model_folder(name, tmp_path)
    size = 7 if name == "biased_mf" else len(NEW)
    settings = OnlineSettings(optimizer=optimizer, lr=0.05, batch_size=size)
    updated = update_online(folder, made_up(), NEW, settings=settings).network.state_dict()

    full = load_model(folder)
    network: Any = full.network.requires_grad_(False)
    tables = [m.weight for m in network.modules() if isinstance(m, torch.nn.Embedding | torch.nn.EmbeddingBag)]
    for weight in tables:
        weight.requires_grad_(True)
    kind = {"sgd": torch.optim.SGD, "adagrad": torch.optim.Adagrad}[optimizer]
    chosen = kind(tables, lr=0.05)
    for batch in _batches(full, *_joined(made_up(), NEW), settings):
        chosen.zero_grad()
        network.loss(*arrays_to_tensors(batch)).backward()
        chosen.step()

    before, rows, moved = load_model(folder).network.state_dict(), concerned(name), 0
    for table, tensor in network.state_dict().items():
        wanted = before[table].clone()
        if table in rows and table not in STORED:
            wanted[rows[table]] = tensor[rows[table]]
            assert torch.allclose(updated[table], wanted, rtol=1e-5, atol=1e-6), table
            moved += int((wanted != before[table]).any(dim=1).sum())
            untouched = torch.ones(len(wanted), dtype=torch.bool)
            untouched[rows[table]] = False
            assert torch.equal(updated[table][untouched], before[table][untouched]), table
        elif table not in STORED:
            assert torch.equal(updated[table], before[table]), table
    assert moved > 0


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_a_delta_applied_is_the_updated_model(name: str, tmp_path: Path) -> None:
    folder = model_folder(name, tmp_path)
    updated = update_online(folder, made_up(), NEW, tmp_path / "delta")
    card = apply_delta(folder, tmp_path / "delta", tmp_path / "new")
    theirs = load_model(tmp_path / "new").network.state_dict()
    for table, tensor in updated.network.state_dict().items():
        assert torch.equal(tensor, theirs[table]), table
    read = read_delta(tmp_path / "delta")
    assert read.changed_rows() == updated.delta.changed_rows()
    assert sum(read.changed_rows().values()) > 0
    assert read.facts["interactions"] == 40
    assert card["metrics"] == {}
    assert card["training"]["updates"] == [dict(read.facts)]
    assert read_card(tmp_path / "new")["weights_sha256"] != read_card(folder)["weights_sha256"]


def test_stored_vectors_of_other_items_stay(tmp_path: Path) -> None:
    folder = model_folder("two_tower", tmp_path)
    updated = update_online(folder, made_up(), NEW).network.get_buffer(STORED_VECTORS)
    before = load_model(folder).network.get_buffer(STORED_VECTORS)
    moved = torch.nonzero((updated != before).any(dim=1))[:, 0]
    assert set(moved.tolist()) <= set(NEW.item.tolist())
    assert len(moved) > 0


def test_adagrad_goes_on_from_the_deltas_before(tmp_path: Path) -> None:
    """Parts, one after the other, equal the whole, where the loss does not hang on how many there are."""
    free = {field.name: 0.0 for field in fields(BiasedMfConfig) if field.name.endswith("regularisation")}
    folder, settings = model_folder("biased_mf", tmp_path, **free), OnlineSettings(batch_size=10)
    whole = update_online(folder, made_up(), NEW, settings=settings).network.state_dict()
    cuts = (0, 20, 30, 40)
    missed = np.setdiff1d(np.intersect1d(NEW.item[:20], NEW.item[30:]), NEW.item[20:30])
    assert len(missed) > 0, "the sums of an item must outlast an update that it has no part in"
    previous = None
    for number, (first, last) in enumerate(pairwise(cuts)):
        part, seen = NEW.take(np.arange(first, last)), NEW.take(np.arange(first))
        delta, after = tmp_path / f"delta-{number}", tmp_path / f"model-{number}"
        update_online(folder, made_up(), part, delta, settings, previous, seen)
        apply_delta(folder, delta, after)
        folder, previous = after, delta
    end = load_model(folder).network.state_dict()
    for table, tensor in whole.items():
        assert torch.allclose(tensor, end[table], rtol=0, atol=1e-7), table
    assert len(read_card(folder)["training"]["updates"]) == 3


def test_a_delta_is_small_beside_its_model(tmp_path: Path) -> None:
    """Bytes are those of the rows that changed, whatever the size of the tables."""
    folder = model_folder("biased_mf", tmp_path)
    facts = update_online(folder, made_up(), NEW.take(np.arange(1)), tmp_path / "delta").delta.facts
    assert facts["changed_bytes"] == 2 * (4 + 8 * 4) + 2 * (4 + 4)


def test_unknown_ids_are_left_out_and_counted(tmp_path: Path) -> None:
    folder, data = model_folder("biased_mf", tmp_path), made_up()
    user = NEW.user.copy()
    user[:5] = (0, data.users, data.users + 7, -1, 0)
    strange = replace(NEW, user=user)
    facts = update_online(folder, data, strange).delta.facts
    assert (facts["left_out"], facts["interactions"]) == (5, 35)
    with pytest.raises(InputError, match="none of 5 is of a user and an item"):
        update_online(folder, data, strange.take(np.arange(5)))


def test_what_cannot_be_updated_or_applied_is_told(tmp_path: Path) -> None:
    folder = model_folder("biased_mf", tmp_path)
    other = model_folder("neumf", tmp_path)
    update_online(folder, made_up(), NEW, tmp_path / "delta")
    with pytest.raises(InputError, match="made from other weights"):
        apply_delta(other, tmp_path / "delta", tmp_path / "new")
    with pytest.raises(InputError, match="own folder"):
        apply_delta(folder, tmp_path / "delta", folder)
    with pytest.raises(InputError, match="is no delta"):
        apply_delta(folder, tmp_path / "nothing", tmp_path / "new")
    with pytest.raises(InputError, match=r"is not the update that .* was last made by"):
        update_online(folder, made_up(), NEW, previous=tmp_path / "delta")
    (tmp_path / "delta" / "delta.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="is not the file"):
        read_delta(tmp_path / "delta")
    with pytest.raises(InputError, match="was trained on"):
        update_online(folder, replace(made_up(), name="other"), NEW)
    with pytest.raises(InputError, match="infinite or no numbers"):
        update_online(folder, made_up(), NEW, settings=OnlineSettings("sgd", lr=1e38, batch_size=4, passes=9))
    for change in ({"optimizer": "adam"}, {"lr": 0.0}, {"batch_size": 0}, {"passes": 0}):
        with pytest.raises(InputError):
            OnlineSettings(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_rows_belong_to_the_ids_that_they_are_said_to(name: str) -> None:
    """Disturbing an item's rows changes scores of that item and of its readers; a user's, those of the user and of what
    the user rated; nothing else."""
    module, data = model_module(name), made_up()
    config = module.config_for(data, **SMALL[name])
    torch.manual_seed(1)
    network = module.build(config)
    module.refresh(network, data, config, "train")
    users, items = np.unique(data.train.user), np.unique(data.train.item)
    rated = np.zeros((data.users, data.items), bool)
    rated[data.train.user, data.train.item] = True
    user, item = data.train.user[-1], items[rated.sum(axis=0)[items].argmin()]

    def changed(of_users: list[int], of_items: list[int]) -> np.ndarray:
        other = module.build(config)
        other.load_state_dict(network.state_dict())
        rows = id_rows(name, data, np.array(of_users, int), np.array(of_items, int))
        state = other.state_dict()
        for table, row in rows.items():
            if table in state:
                state[table][torch.from_numpy(row)] += torch.randn(len(row), state[table].shape[1])
        if of_users:
            module.refresh(other, data, config, "train")
        scores = [NetworkScorer(module, config, net, data).item_scores(users, "train") for net in (network, other)]
        found = np.zeros(rated.shape, bool)
        found[np.ix_(users, items)] = (scores[0] != scores[1]).numpy()[:, items]
        return found

    by_item = changed([], [int(item)])
    assert by_item.any()
    may = np.zeros(rated.shape, bool)
    may[:, item] = True
    may[rated[:, item]] = True
    assert not (by_item & ~may).any()
    by_user = changed([int(user)], [])
    may = np.zeros(rated.shape, bool)
    may[user] = True
    may[:, rated[user]] = True
    assert not (by_user & ~may).any()
    assert by_user.any() == (name not in ("autoencoder", "sasrec", "bert4rec"))
