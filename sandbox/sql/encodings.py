"""How values stand in shares: numbers as bounded multiples of a unit, keys in an encoding that compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.sql.catalogue import family, is_decimal
from sandbox.sql.plan import FIXED_POINT_SCALE
from sandbox.sql.refusal import refuse

MOST_BITS = 62
"""No number in shares is as large as 2^62: differences and comparisons stay exact."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number column: value = integer / `scale`, the integer within [`low`, `high`]."""

    name: str
    scale: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """How values of several parts become keys that compare: value · `scale` − `low` + 1, or a text's hash."""

    kind: Literal["value", "text"]
    bits: int
    scale: int = 1
    low: int = 0
    high: int = 0


def natural_scale(kind: str) -> int:
    """Return by what a value of an SQL type is multiplied to be an integer in shares."""
    if is_decimal(kind):
        return int(10 ** int(kind.partition(",")[2].rstrip(")")))
    return FIXED_POINT_SCALE if kind == "DOUBLE" else 1


def type_bounds(kind: str, scale: int) -> tuple[int, int] | None:
    """Return the bounds of value · `scale` that every value of an SQL type keeps, None if there are none."""
    if kind == "BOOLEAN":
        return 0, scale
    if kind == "DATE":
        return -scale << 22, scale << 22
    if is_decimal(kind):
        digits = int(kind[len("DECIMAL(") :].partition(",")[0])
        most = 10**digits * scale // natural_scale(kind)
        return -most, most
    return None


def encoding_of(kinds: Sequence[str], bounds: Sequence[tuple[int, int] | None], scale: int) -> Encoding:
    """Return the encoding in which values of several types compare.

    Raises:
        JobRefused: DOUBLE, which has no exact one.
    """
    if all(family(kind) == "text" for kind in kinds):
        return Encoding("text", 64)
    if "DOUBLE" in kinds:
        raise refuse("key", "a DOUBLE as a key over several providers", "use a column of another type as key")
    most = (1 << MOST_BITS) - 1
    ends = [each if each is not None else (-most, most) for each in bounds]
    low = max(-most, min(end[0] for end in ends))
    high = min(most, max(end[1] for end in ends))
    return Encoding("value", (high - low + 1).bit_length(), scale, low, high)
