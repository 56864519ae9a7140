"""Throughputs on disk: named by content, exact, and never worse than none."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import facts as facts_module
from simulator.engine import simulate
from simulator.facts import fleet_facts
from simulator.throughput_cache import cached_throughput, content_hash, throughput_folder
from tests.simulator.mini import Scripted, load_hand

VALUES = (123.45678901234567, 0.1 + 0.2)


@dataclass(frozen=True)
class Part:
    rate: float
    table: np.ndarray


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECFLEET_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "throughput"


class Counted:
    """A computation that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> tuple[float, ...]:
        self.calls += 1
        return VALUES


def test_a_second_call_reads_what_the_first_wrote(folder: Path) -> None:
    first, second = Counted(), Counted()
    part = Part(1.5, np.arange(6.0).reshape(2, 3))
    assert cached_throughput((part, 7), first) == VALUES
    assert cached_throughput((replace(part, table=part.table.copy()), 7), second) == VALUES
    assert (first.calls, second.calls) == (1, 0)
    assert len(list(folder.iterdir())) == 1
    for other in ((replace(part, rate=1.5000000001), 7), (part, 8), (replace(part, table=part.table.T), 7)):
        assert cached_throughput(other, second) == VALUES
    assert second.calls == 3


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_bytes(b"\xff\x00"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"values": ["0x1p+3", "nan"]})),
        lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "0" * 64})),
        lambda path: path.write_text(path.read_text()[:-9]),
    ],
)
def test_a_spoilt_entry_is_computed_anew_and_replaced(folder: Path, spoil: object) -> None:
    cached_throughput(("a",), Counted())
    (path,) = folder.iterdir()
    spoil(path)  # type: ignore[operator]
    again, after = Counted(), Counted()
    assert cached_throughput(("a",), again) == VALUES
    assert cached_throughput(("a",), after) == VALUES
    assert (again.calls, after.calls) == (1, 0)


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_nothing_is_kept_where_nothing_is_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECFLEET_CACHE_DIR", "")
    assert throughput_folder() is None
    counted = Counted()
    assert [cached_throughput(("a",), counted) for _ in range(2)] == [VALUES, VALUES]
    assert counted.calls == 2
    monkeypatch.delenv("RECFLEET_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert throughput_folder() == tmp_path / "recfleet" / "throughput"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert throughput_folder() is None
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("RECFLEET_CACHE_DIR", str(blocked))
    assert cached_throughput(("a",), counted) == VALUES


def test_another_process_may_write_the_same_entry_meanwhile(folder: Path) -> None:
    def meanwhile() -> tuple[float, ...]:
        assert cached_throughput(("a",), Counted()) == VALUES
        return VALUES

    assert cached_throughput(("a",), meanwhile) == VALUES
    assert [path.suffix for path in folder.iterdir()] == [".json"]


@given(st.lists(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text()), max_size=4),
       st.lists(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text()), max_size=4))  # fmt: skip
def test_only_equal_content_has_an_equal_hash(one: list[object], other: list[object]) -> None:
    same = [(type(v), repr(v)) for v in one] == [(type(v), repr(v)) for v in other]
    assert (content_hash(tuple(one)) == content_hash(tuple(other))) == same
    assert content_hash((one, other)) != content_hash((*one, other))


def test_what_has_no_content_is_refused() -> None:
    with pytest.raises(TypeError, match="no content hash"):
        content_hash(object())


def test_facts_are_the_same_from_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time no simulation is run, and every number is the same bit for bit."""
    first = fleet_facts(load_hand(tmp_path, ARRIVALS_S, 40.0))
    assert len(list(folder.iterdir())) == 1
    with monkeypatch.context() as without:
        without.setattr(facts_module, "slo_throughput_rps", None)
        second = fleet_facts(load_hand(tmp_path, ARRIVALS_S, 40.0))
    assert first.throughput_rps.tobytes() == second.throughput_rps.tobytes()
    assert first.best_throughput_rps.tobytes() == second.best_throughput_rps.tobytes()
    assert (second.throughput_rps > 0.0).any()
    fleet_facts(load_hand(tmp_path, ARRIVALS_S, 40.0, {"slo_ms: 1000": "slo_ms: 900"}))
    assert len(list(folder.iterdir())) == 2


def test_a_chosen_batch_cap_serves_more_where_the_budget_is_tight(folder: Path, tmp_path: Path) -> None:
    """Batches of one take 0.1 s and of two 0.16 s: of 0.155 s of budget, only batches of one can be in time."""
    tight = {"slo_ms: 1000": "slo_ms: 155\n    slo_quantile: 0.9", "max_batch: 1": "max_batch: 2"}
    chosen = tight | {"policies: [static_peak]": "policies: [static_peak]\nplanning: {batch_caps: chosen}"}
    stated, free = (fleet_facts(load_hand(tmp_path, ARRIVALS_S, 40.0, changes)) for changes in (tight, chosen))
    assert free.throughput_rps[0, 0] > stated.throughput_rps[0, 0]
    assert free.best_throughput_rps[0, 0] == stated.best_throughput_rps[0, 0]
    assert (stated.batch_cap[0, 0], free.batch_cap[0, 0]) == (0, 1)
    assert free.best_at_cap_rps[0, 0] < free.best_throughput_rps[0, 0] == stated.best_at_cap_rps[0, 0]
    changed = load_hand(tmp_path, ARRIVALS_S, 40.0, chosen)
    result = simulate(changed, Scripted([[2]]), seed=1)
    assert result.served_batches.sum() == result.served_requests.sum() > 0
    with_twos = simulate(load_hand(tmp_path, [1.0, 1.0, 1.0], 40.0, tight), Scripted([[1]]), seed=1)
    assert with_twos.served_batches.sum() < with_twos.served_requests.sum()


ARRIVALS_S = np.arange(0.5, 40.0, 0.7).tolist()
