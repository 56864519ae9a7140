"""A hint to the processor to load what will soon be needed; it changes no value."""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.core import config as _config
from numba.extending import intrinsic

__all__ = ["touch"]

ir = cgutils.ir


def _touch(typing_context: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line where ``array[index]`` begins (one axis, contiguous)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = cgutils.get_item_pointer(context, builder, signature.args[0], view, [arguments[1]])
        byte_pointer = ir.IntType(8).as_pointer()
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte_pointer, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read_keep_data = [ir.Constant(flag, number) for number in (0, 3, 1)]
        builder.call(function, [builder.bitcast(place, byte_pointer), *read_keep_data])
        return context.get_dummy_value()

    return types.none(array, types.int64), generate


def _nothing(array: Any, index: int) -> None:
    """In place of `touch` where kernels are not compiled."""


touch: Any = _nothing if vars(_config)["DISABLE_JIT"] else intrinsic(_touch)
