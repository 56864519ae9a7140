"""How the kernels are compiled, and where the machine code is kept.

numba's own cache looks only at the file of the outermost function, so an edit to a function that it calls would go
unnoticed. The cache therefore lives in a folder named by a hash of all the kernels' source.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numba
from numba.core import config as _config

__all__ = ["LOOPS", "cache_folder", "compiled", "inlined", "is_cached", "is_compiled"]

LOOPS = {"plain": ("loop", "advance"), "lean": ("whole_loop", "advance_lean"), "whole": ("whole_loop", "advance_whole")}
"""Module and name of the event loop of each path."""


def _sources_hash() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {sys.version_info[:2]}".encode())
    here = Path(__file__).parent
    for path in [*sorted(here.glob("*.py")), here.parent / "histogram.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Folder of the compiled code: ``NUMBA_CACHE_DIR`` or the user's cache folder, then the sources' hash."""
    base = os.environ.get("NUMBA_CACHE_DIR")
    if base is None:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        base = str(Path(root) / "recfleet")
    return Path(base) / f"kernels-{_sources_hash()}"


def is_compiled() -> bool:
    """False where ``NUMBA_DISABLE_JIT`` has kernels run as plain Python."""
    return not vars(_config)["DISABLE_JIT"]


def is_cached(path: str) -> bool:
    """True where the event loop of a path of `LOOPS` need not be compiled again, or runs uncompiled.

    numba keeps code apart by where the sources lie (several installations may share the folder), and throws away what
    is older than its source.
    """
    if not is_compiled():
        return True
    module, name = LOOPS[path]
    loop: Any = getattr(import_module(f"simulator.kernel.{module}"), name)
    changed_s = (Path(__file__).parent / f"{module}.py").stat().st_mtime
    indices = Path(loop.stats.cache_path).glob(f"{module}.{name}-*.nbi")
    return any(index.stat().st_mtime >= changed_s for index in indices)


vars(_config)["CACHE_DIR"] = str(cache_folder())


_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": False, "_nrt": False}
# No kernel allocates, so none needs numba's reference counts (_nrt); they took two thirds of the time.
_INLINED = _OPTIONS | {"cache": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a kernel: compiled in nopython mode on first call, cached on disk, exact IEEE arithmetic."""
    return numba.njit(**_OPTIONS)(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that only kernels call: always inlined into its caller.

    Nothing else calls it, so it gets none of the entry points that Python or C would use; they took most of the time.
    """
    return numba.njit(forceinline=True, **_INLINED)(function)
