"""Quantities as Kubernetes writes them: ``500m``, ``1.5``, ``2k``, ``10Gi``."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

from optimizer.autoscalers.hpa.whole import MOST_MILLI, within

__all__ = ["amount", "milli"]

_SHAPE = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i)?)")
_FACTORS = {suffix: Decimal(1000) ** power for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), -3)} | {
    f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)
}


def amount(value: object) -> Decimal:
    """A quantity, exactly.

    Raises
    ------
    ValueError
        If it is not a quantity.

    Examples
    --------
    >>> amount("500m"), amount(2), amount("10k"), amount("1Ki")
    (Decimal('0.500'), Decimal('2'), Decimal('10000'), Decimal('1024'))
    """
    shape = _SHAPE.fullmatch(str(value).strip()) if isinstance(value, str | int | float) else None
    if shape is None or isinstance(value, bool):
        raise ValueError("not a quantity such as 10, 0.5, 500m or 2k")
    number, exponent, suffix = shape.groups()
    return Decimal(number) * (Decimal(10) ** int(exponent) if exponent else _FACTORS[suffix or ""])


def milli(value: object) -> int:
    """A quantity in thousandths, rounded up; errors as of `amount`.

    Examples
    --------
    >>> milli("500m"), milli("1.5"), milli("1u")
    (500, 1500, 1)
    """
    return within(int((amount(value) * 1000).to_integral_value(ROUND_CEILING)), MOST_MILLI)
