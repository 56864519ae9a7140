"""The compiled data plane: small functions over structs of arrays, one idea a file.

The entry points are `simulator.kernel.loop.advance` of the plain path, `advance_lean` and `advance_whole` of
`simulator.kernel.whole_loop` of the others; `simulator.fleet.Fleet` owns the arrays.
With ``NUMBA_DISABLE_JIT=1`` the same source runs as plain Python.
"""
