"""The call of a user's router function from within the kernel, by its address.

By address, the kernel is the same machine code whatever functions there are, one for each stage if need be: they are
compiled on their own (`simulator.routers`). Run uncompiled, an "address" is a number that Python looks up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core import config as _config
from numba.extending import intrinsic

from simulator.kernel.compiled import inlined

__all__ = ["FAULT", "address_of", "call_user_function"]

FAULT = -(2**63)
"""What a function that has raised returns."""

_KEPT: dict[int, Any] = {}
"""What addresses stand for: they hold only as long as this does."""

_C_SIGNATURE = types.int64(
    types.CPointer(types.int64), types.CPointer(types.float64), types.int64, types.int64, types.int64, types.int64,
    types.float64,
)  # fmt: skip

_ir: Any = vars(cgutils)["ir"]


def address_of(function: Callable[..., int]) -> int:
    """Address of ``function(outstanding, weight, first, size, user, draw) -> place`` for `POOL.function`.

    Raises
    ------
    numba.core.errors.NumbaError
        If it does not compile.
    """
    if vars(_config)["DISABLE_JIT"]:
        address = len(_KEPT) + 1
        _KEPT[address] = function
        return address
    chooses = function if hasattr(function, "py_func") else numba.njit(error_model="numpy", boundscheck=True)(function)

    @numba.cfunc(_C_SIGNATURE)
    def from_kernel(outstanding, weight, length, first, size, user, draw):  # type: ignore[no-untyped-def]
        try:
            return int(
                chooses(numba.carray(outstanding, length), numba.carray(weight, length), first, size, user, draw)
            )
        except Exception:
            return FAULT

    address = int(from_kernel.address or 0)
    _KEPT[address] = from_kernel
    return address


@intrinsic
def _call_address(typing_context, address, outstanding, weight, first, size, user, draw):  # type: ignore[no-untyped-def]
    signature = types.int64(types.uint64, outstanding, weight, types.int64, types.int64, types.int64, types.float64)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        whole, number = _ir.IntType(64), _ir.DoubleType()
        arrays = [context.make_array(signature.args[i])(context, builder, value=args[i]) for i in (1, 2)]
        kind = _ir.FunctionType(whole, [whole.as_pointer(), number.as_pointer(), whole, whole, whole, whole, number])
        function = builder.inttoptr(args[0], kind.as_pointer())
        return builder.call(function, [arrays[0].data, arrays[1].data, arrays[0].nitems, *args[3:]])

    return signature, codegen


def _call_uncompiled(address: Any, *arguments: Any) -> int:
    return int(_KEPT[int(address)](*arguments))


_call: Any = _call_uncompiled if vars(_config)["DISABLE_JIT"] else _call_address


@inlined
def call_user_function(
    address: int, outstanding: np.ndarray, weight: np.ndarray, first: int, size: int, user: int, draw: float
) -> tuple[int, bool]:
    """The place that the function names, and whether it raised instead."""
    place = _call(address, outstanding, weight, first, size, user, draw)
    return place, place == FAULT
