"""Solves in a process of their own, ended when they are late: solvers overshoot their time limits many times over."""

from __future__ import annotations

import atexit
import os
import pickle
import select
import struct
import subprocess
import sys
import time
from typing import IO, Any

from ortools.math_opt.python import mathopt

from optimizer.fleet.solvers import Solved, SolverTroubleError, from_result

__all__ = ["GRACE_S", "Worker", "solve_watched"]

GRACE_S = 0.5
"""How late a solver may be."""

START_S = 60.0
"""How long the process may take to come up, once."""


class Worker:
    """A process that solves one model after the other, until one is late.

    Parameters
    ----------
    command
        Of the process; this module's own main by default.
    """

    def __init__(self, command: list[str] | None = None) -> None:
        paths = os.pathsep.join(p or os.getcwd() for p in sys.path)
        self._process = subprocess.Popen(
            command or [sys.executable, "-m", "optimizer.fleet.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self.is_ready = False

    @property
    def is_alive(self) -> bool:
        """Whether it can be given a model."""
        return self._process.poll() is None

    def ask(self, question: Any, within_s: float) -> Any:
        """What the process answers; `TimeoutError` where it is late, `EOFError` where it died. It is ended in both."""
        try:
            if not self.is_ready:
                self._answer(START_S)
                self.is_ready = True
            assert self._process.stdin is not None
            _write(self._process.stdin, question)
            return self._answer(within_s)
        except (TimeoutError, EOFError, OSError):
            self.end()
            raise

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _answer(self, within_s: float) -> Any:
        pipe, until = self._process.stdout, time.monotonic() + within_s
        assert pipe is not None
        data = b""
        while len(data) < 8 or len(data) < 8 + struct.unpack("<Q", data[:8])[0]:
            left = until - time.monotonic()
            if left <= 0.0 or not select.select([pipe], [], [], left)[0]:
                raise TimeoutError
            part = os.read(pipe.fileno(), 1 << 20)
            if not part:
                raise EOFError
            data += part
        return pickle.loads(data[8:])


_WORKER: Worker | None = None


def solve_watched(
    model: mathopt.Model, kind: mathopt.SolverType, parameters: mathopt.SolveParameters, limit_s: float
) -> Solved:
    """Solve in the watched process, which is started when it is first needed.

    Raises
    ------
    SolverTroubleError
        If the solver is `GRACE_S` later than ``limit_s``, or its process dies.
    """
    global _WORKER
    if _WORKER is None or not _WORKER.is_alive:
        if _WORKER is None:
            atexit.register(_end)
        _WORKER = Worker()
    question = (model.export_model().SerializeToString(), kind.name, parameters)
    try:
        answer = _WORKER.ask(question, limit_s + GRACE_S)
    except TimeoutError:
        raise SolverTroubleError(f"stopped {GRACE_S:g} s after its limit of {limit_s:g} s") from None
    except (EOFError, OSError):
        raise SolverTroubleError("the solver's process died") from None
    if isinstance(answer, str):
        raise SolverTroubleError(answer)
    assert isinstance(answer, Solved)
    return answer


def _end() -> None:
    if _WORKER is not None and _WORKER.is_alive:
        _WORKER.end()


def _write(pipe: IO[bytes], answer: Any) -> None:
    data = pickle.dumps(answer)
    pipe.write(struct.pack("<Q", len(data)) + data)
    pipe.flush()


def _serve() -> None:
    """Answer models from standard input until it ends; only this module's own process writes there."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what solvers print must not mix with answers
    _write(out, "ready")
    while head := sys.stdin.buffer.read(8):
        proto, kind, parameters = pickle.loads(sys.stdin.buffer.read(struct.unpack("<Q", head)[0]))
        try:
            from ortools.math_opt import model_pb2

            model = mathopt.Model.from_model_proto(model_pb2.ModelProto.FromString(proto))
            answer: Any = from_result(mathopt.solve(model, mathopt.SolverType[kind], params=parameters))
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        _write(out, answer)


if __name__ == "__main__":
    _serve()
