"""The compiled data plane: small functions over structs of arrays, one idea a file.

The entry point is `simulator.kernel.loop.advance`; `simulator.fleet.Fleet` owns the arrays.
With ``NUMBA_DISABLE_JIT=1`` the same source runs as plain Python.
"""
