"""A minimisation put together row by row in plain lists, and handed to MathOpt in one piece.

MathOpt's own objects cost more time for a model of a few hundred rows than SCIP takes to solve it: every coefficient
is a call. Here a variable is its number, and the whole model becomes one protocol buffer.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt

__all__ = ["SparseModel"]


class SparseModel:
    """Variables by number, rows ``sum coefficient x >= at_least``, and a linear objective to minimise."""

    def __init__(self) -> None:
        self._least: list[float] = []
        self._most: list[float] = []
        self._whole: list[bool] = []
        self._at_least: list[float] = []
        self._row_of: list[int] = []
        self._column_of: list[int] = []
        self._coefficient: list[float] = []
        self._cost: dict[int, float] = {}

    def variable(self, most: float = np.inf, *, whole: bool = False) -> int:
        """A new variable from 0 to ``most``; its number."""
        self._least.append(0.0)
        self._most.append(most)
        self._whole.append(whole)
        return len(self._most) - 1

    def row(self, terms: Iterable[tuple[float, int]], at_least: float = 0.0) -> None:
        """A new row of ``(coefficient, variable)``, no variable twice."""
        number = len(self._at_least)
        self._at_least.append(at_least)
        for coefficient, variable in terms:
            self._row_of.append(number)
            self._column_of.append(variable)
            self._coefficient.append(coefficient)

    def cost(self, price: float, variable: int) -> None:
        """What a unit of a variable adds to the objective, beside what it already does."""
        self._cost[variable] = self._cost.get(variable, 0.0) + price

    def built(self) -> mathopt.Model:
        """The model; variable ``i`` has the id ``i``."""
        proto = model_pb2.ModelProto(name="sparse")
        proto.variables.ids.extend(range(len(self._most)))
        proto.variables.lower_bounds.extend(self._least)
        proto.variables.upper_bounds.extend(self._most)
        proto.variables.integers.extend(self._whole)
        rows = len(self._at_least)
        proto.linear_constraints.ids.extend(range(rows))
        proto.linear_constraints.lower_bounds.extend(self._at_least)
        proto.linear_constraints.upper_bounds.extend([np.inf] * rows)
        priced = sorted(v for v, price in self._cost.items() if price != 0.0)
        proto.objective.linear_coefficients.ids.extend(priced)
        proto.objective.linear_coefficients.values.extend([self._cost[v] for v in priced])
        coefficient = np.array(self._coefficient, dtype=np.float64)
        row, column = np.array(self._row_of, dtype=np.int64), np.array(self._column_of, dtype=np.int64)
        order = np.lexsort((column, row))
        order = order[coefficient[order] != 0.0]
        proto.linear_constraint_matrix.row_ids.extend(row[order].tolist())
        proto.linear_constraint_matrix.column_ids.extend(column[order].tolist())
        proto.linear_constraint_matrix.coefficients.extend(coefficient[order].tolist())
        return mathopt.Model.from_model_proto(proto)
