"""How the kernel's record types are declared."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["struct"]


def struct(**fields: str) -> np.dtype[Any]:
    """An aligned record type of the named fields, read by attribute in kernels and in Python.

    A field must not be called like an attribute of NumPy's scalars (``size``, ``data``, ``item``...): uncompiled,
    that is what one would read.

    Examples
    --------
    >>> struct(free_s="f8", state="i1").names
    ('free_s', 'state')
    """
    assert not any(hasattr(np.generic, name) for name in fields), fields
    return np.dtype((np.record, np.dtype(list(fields.items()), align=True)))
