"""Router functions of the user's own: one function, by name or from a file, for stages with ``router: function``.

The function gets the pool as it stands and names a place in it::

    choose(outstanding, weight, first, size, user, draw) -> place

``outstanding[place]`` are the tasks that each replica holds, ``weight[place]`` the units a second of its best batch;
the pool lies at places ``first`` to ``first + size - 1`` of both, in order of slot. ``user`` is the request's user,
``draw`` a uniform random number of the task's own. A place outside counts as the nearest inside. The function is
compiled by numba in nopython mode, and runs as plain Python under ``NUMBA_DISABLE_JIT=1``.
"""

from __future__ import annotations

import functools
import re
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workloads.errors import InputError

__all__ = ["RouterFunction", "address_of", "load_function", "register", "registered"]

RouterFunction = Callable[..., int]
"""``choose(outstanding, weight, first, size, user, draw) -> place``."""

PARAMETERS = ("outstanding", "weight", "first", "size", "user", "draw")

_REGISTERED: dict[str, RouterFunction] = {}


def register(name: str) -> Callable[[RouterFunction], RouterFunction]:
    """Decorate a router function: scenarios and plans may then name it.

    Examples
    --------
    >>> @register("the-first")
    ... def choose(outstanding, weight, first, size, user, draw):
    ...     return first
    >>> "the-first" in registered()
    True
    """

    def keep(function: RouterFunction) -> RouterFunction:
        _REGISTERED[name] = function
        return function

    return keep


def registered() -> tuple[str, ...]:
    """Names of the registered functions, in alphabetical order."""
    return tuple(sorted(_REGISTERED))


def load_function(name: str, base: Path | None = None) -> RouterFunction:
    """A registered function, or that of ``path/to/file.py:name``, relative to ``base`` (or the current folder).

    Raises
    ------
    InputError
        If there is none of that name, or its file is missing or fails, or it is no function of six parameters.
    """
    where = f"router function {name}"
    match = re.fullmatch(r"(.+\.py):(\w+)", name)
    if match is None:
        if name not in _REGISTERED:
            known = ", ".join(registered()) or "none"
            fix = f"register it with simulator.routers.register({name!r}), or give path/to/file.py:function"
            raise InputError(where, f"is not registered (registered: {known})", fix)
        return _checked(_REGISTERED[name], where)
    file = (base or Path.cwd()) / Path(match[1]).expanduser()
    names = _run_file(file, where)
    if match[2] not in names:
        raise InputError(where, f"the file has no function {match[2]!r}", "name a function that the file defines")
    return _checked(names[match[2]], where)


def address_of(name: str, base: Path | None = None) -> int:
    """Compile a router function (once in a process, and again when it has changed); its address for the kernel.

    Raises
    ------
    InputError
        As `load_function`, or if the function does not compile.
    """
    return _address(load_function(name, base), f"router function {name}")


@functools.cache
def _address(function: RouterFunction, where: str) -> int:
    from numba.core.errors import NumbaError, NumbaTypeSafetyWarning

    from simulator.kernel.user_function import address_of

    try:
        with warnings.catch_warnings():
            # Numba tells of casts of dictionary keys, as at a line of the kernel, which its user never wrote.
            warnings.simplefilter("ignore", NumbaTypeSafetyWarning)
            return address_of(function)
    except NumbaError as error:
        raise InputError(
            f"{where} ({_place(function)})",
            f"does not compile: {_reason(error)}",
            "keep to numbers and arrays (docs/routers.md)",
        ) from error


def _checked(function: Any, where: str) -> RouterFunction:
    """The function, if it is one of six parameters."""
    code = getattr(getattr(function, "py_func", function), "__code__", None)
    if code is None:
        raise InputError(where, f"it is a {type(function).__name__}, not a function", "name a function")
    if code.co_argcount != len(PARAMETERS):
        raise InputError(
            where, f"it takes {_arguments(code.co_argcount)}, not 6", f"define it as choose({', '.join(PARAMETERS)})"
        )
    return function


def _arguments(count: int) -> str:
    return f"{count} argument{'s' * (count != 1)}"


@functools.cache
def _compiled_file(file: Path, source: bytes) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": f"recfleet_router_{file.stem}", "__file__": str(file)}
    exec(compile(source, str(file), "exec"), names)
    return names


def _run_file(file: Path, where: str) -> dict[str, Any]:
    """What a Python file defines; it runs anew only when its text has changed."""
    try:
        source = file.read_bytes()
    except OSError as error:
        raise InputError(where, f"cannot read {file} ({error.strerror})", "give the path of a Python file") from None
    try:
        return _compiled_file(file, source)
    except (Exception, SystemExit) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = error.lineno if isinstance(error, SyntaxError) else last.lineno
        problem = f"running it fails: {type(error).__name__}: {' '.join(str(error).split())} (line {line})"
        raise InputError(where, problem, "correct the file") from error


def _place(function: RouterFunction) -> str:
    code = getattr(function, "py_func", function).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _reason(error: Exception) -> str:
    """What numba objects to, in one line: the first line that says more than where it was."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Failed in", "During", "File", "-", ">"))]
    return said[0][:200] if said else type(error).__name__
