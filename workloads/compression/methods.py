"""The methods by name, what each does in a line, and in which order they may follow one another."""

from __future__ import annotations

import difflib
import itertools

from workloads.errors import InputError

__all__ = ["DESCRIPTIONS", "METHODS", "TRAINED_METHODS", "steps_of"]

DESCRIPTIONS: dict[str, str] = {
    "distil": "A smaller model of the same kind learns from the trained one's scores and from the labels.",
    "hashed": "Large id tables become two small ones each, whose rows are multiplied; trained anew.",
    "low-rank": "Linear layers become products of two thinner ones.",
    "structured": "Hidden channels, attention heads and LSTM units are removed; the layers really shrink.",
    "magnitude": "The smallest weights of linear layers become zero; smaller on disk, not faster.",
    "bf16": "All weights and arithmetic in bfloat16.",
    "embedding-int8": "Id tables in int8 with one scale a row.",
    "int8-dynamic": "Linear layers in int8, activations quantised as they come (torchao).",
    "int8-weight": "Linear layers' weights in int8, arithmetic in floating point (torchao).",
    "int8-legacy": "Linear and LSTM layers in int8 by torch.ao.quantization; CPU only.",
}
"""Method to what it does."""

METHODS: tuple[str, ...] = tuple(DESCRIPTIONS)

TRAINED_METHODS: frozenset[str] = frozenset({"distil", "hashed"})
"""Those that make no sense without training data."""

_PHASE = {
    "distil": 0,
    "hashed": 0,
    "low-rank": 2,
    "structured": 1,
    "magnitude": 3,
    "bf16": 4,
    "embedding-int8": 5,
    "int8-dynamic": 6,
    "int8-weight": 6,
    "int8-legacy": 6,
}
"""Later phases work on what earlier ones leave; the other way round would undo them or find nothing to work on."""

_REFUSED_TOGETHER = {
    frozenset({"bf16", "int8-legacy"}): "torch.ao.quantization takes float32 layers only",
}


def steps_of(method: str) -> tuple[str, ...]:
    """The steps that a name such as ``structured+int8-dynamic`` stands for, checked.

    Raises
    ------
    InputError
        A step that is unknown, or that cannot follow the one before it.

    Examples
    --------
    >>> steps_of("structured+int8-dynamic")
    ('structured', 'int8-dynamic')
    """
    steps = tuple(part.strip() for part in method.split("+"))
    for step in steps:
        if step not in METHODS:
            near = difflib.get_close_matches(step, METHODS, n=1, cutoff=0.5)
            fix = f"did you mean {near[0]}?" if near else f"use one of {', '.join(METHODS)}, or several joined by +"
            raise InputError("--method", f"{step!r} is not known", fix)
    for before, after in itertools.pairwise(steps):
        if _PHASE[after] <= _PHASE[before]:
            problem = f"{after} cannot follow {before}"
            ordered = "+".join(sorted(dict.fromkeys(steps), key=_PHASE.__getitem__))
            fix = f"write {ordered}" if len({_PHASE[s] for s in steps}) == len(steps) else "use one of the two"
            raise InputError("--method", problem, fix)
    for pair, reason in _REFUSED_TOGETHER.items():
        if pair <= set(steps):
            raise InputError("--method", f"{' and '.join(sorted(pair))} do not go together", reason)
    return steps
