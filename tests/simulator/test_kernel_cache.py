"""What is known of compiled kernels before they are called."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from simulator.kernel import compiled, loop

IS_COMPILED = os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


def test_code_of_another_installation_or_of_an_older_source_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = tmp_path / "ours", tmp_path / "other"
    ours.mkdir()
    other.mkdir()
    monkeypatch.setattr(compiled, "is_compiled", lambda: True)
    monkeypatch.setattr(loop, "advance", SimpleNamespace(stats=SimpleNamespace(cache_path=str(ours))))
    (other / "loop.advance-32.py311.nbi").touch()
    (ours / "loop.advance_slowly-40.py311.nbi").touch()
    assert not compiled.is_cached("plain")
    index = ours / "loop.advance-32.py311.nbi"
    index.touch()
    assert compiled.is_cached("plain")
    os.utime(index, (0, 0))
    assert not compiled.is_cached("plain")


@pytest.mark.skipif(not IS_COMPILED, reason="numba compiles nothing")
def test_numba_calls_its_files_as_is_cached_believes() -> None:
    assert loop.advance._cache._cache_file._index_name.startswith("loop.advance-")  # type: ignore[attr-defined]
