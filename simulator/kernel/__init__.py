"""The compiled data plane: small functions over structs of arrays, one idea a file.

The entry points are `simulator.kernel.loop.advance` and, for the whole request path,
`simulator.kernel.whole_loop.advance_whole`; `simulator.fleet.Fleet` owns the arrays.
With ``NUMBA_DISABLE_JIT=1`` the same source runs as plain Python.
"""
