"""A kept run is what it was, and a damaged one is not used."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recfleet.digest import digest
from recfleet.run_record import load_record, save_record
from tests.recfleet.fakes import FakeScenario, facts, record


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)


def test_round_trip(tmp_path: Path) -> None:
    original = record("hpa", 3, intervals=20)
    nan = dataclasses.replace(original, bound_usd=float("nan"))
    for value in (original, nan):
        save_record(value, tmp_path / "run.npz")
        read = load_record(tmp_path / "run.npz")
        assert read is not None
        assert same(read, value)
        assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_damaged_file_is_no_record(tmp_path: Path, share: float) -> None:
    path = tmp_path / "run.npz"
    save_record(record(intervals=5), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert load_record(path) is None
    assert load_record(tmp_path / "absent.npz") is None


def test_digest_sees_every_field() -> None:
    base = facts()
    seen = {digest(base)}
    for field in dataclasses.fields(base):
        value = getattr(base, field.name)
        if isinstance(value, np.ndarray):
            other: Any = np.where(np.isfinite(value), value + 1, 0.0)
        elif isinstance(value, tuple):
            other = (*value, "one more")
        elif value is None or not np.isfinite(value):
            other = 1.0
        else:
            other = value + 1
        seen.add(digest(dataclasses.replace(base, **{field.name: other})))
    assert len(seen) == 1 + len(dataclasses.fields(base))


def test_digest_is_the_same_for_equal_content_and_tells_types_apart() -> None:
    assert digest({"a": 1, "b": [1.5, None]}) == digest({"b": [1.5, None], "a": 1})
    assert len({digest(1), digest(1.0), digest("1"), digest(True), digest(b"1"), digest((1,))}) == 6
    assert digest(("ab", "c")) != digest(("a", "bc"))
    assert digest(FakeScenario()) == digest(FakeScenario())
    with pytest.raises(TypeError):
        digest(object())
