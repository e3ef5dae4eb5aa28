"""What a provider declares of a table to everybody: sizes, keys and bounds, by which plans are made.

The provider's officer writes them; nothing here is derived from rows (R16), so nothing of them is a release.
A node checks, when it registers the product, that its source keeps them (`sandbox/node/declared.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from policies.fields import Bound, ColumnName, Many, Section, fault

MAX_ROWS = 1 << 24
MAX_MOST = 64
MAX_BYTES = 255
MAX_KEY_COLUMNS = 8
MAX_KEYS = 16
MAX_NAMED = 500
BOUND_FORMS = "a bound is an integer, a decimal in quotes, a day `YYYY-MM-DD` or a time `YYYY-MM-DDTHH:MM:SS`"

RangeKind = Literal["number", "day", "time"]
BoundValue: TypeAlias = Decimal | date | datetime

V = TypeVar("V")

_NUMBER = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,38})?")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds that belong to it: numbers of BIGINT, DECIMAL or DOUBLE, days of DATE, times of TIMESTAMP."""

    kind: RangeKind
    least: BoundValue
    greatest: BoundValue

    def contains(self, value: BoundValue) -> bool:
        """Tell whether `value`, of the same kind and no NaN, lies within."""
        return self.least <= value <= self.greatest  # type: ignore[operator]  # one kind, so one type


def _require_bound(bound: object) -> object:
    if isinstance(bound, bool) or not isinstance(bound, int | str):
        raise fault(BOUND_FORMS)
    _read(bound)
    # Zeros at the end say nothing, so that equal terms have equal digests.
    if isinstance(bound, str) and "." in bound and _NUMBER.fullmatch(bound):
        return bound.rstrip("0").removesuffix(".")
    return bound


def _read(bound: int | str) -> tuple[RangeKind, BoundValue]:
    if isinstance(bound, int) or _NUMBER.fullmatch(bound):
        return "number", Decimal(bound)
    try:
        if _DAY.fullmatch(bound):
            return "day", date.fromisoformat(bound)
        if _TIME.fullmatch(bound):
            return "time", datetime.fromisoformat(bound)
    except ValueError:
        raise fault("no such day or time") from None
    raise fault(BOUND_FORMS)


def read_range(bounds: tuple[int | str, int | str]) -> Range:
    """Return the range that two bounds of the document state."""
    (kind, least), (other_kind, greatest) = map(_read, bounds)
    if kind != other_kind:
        raise fault("both bounds are numbers, or both days, or both times")
    return Range(kind, least, greatest)


def _require_order(bounds: tuple[int | str, int | str]) -> tuple[int | str, int | str]:
    declared = read_range(bounds)
    if not declared.contains(declared.least):
        raise fault("the first bound is not above the second")
    return bounds


RangeBound = Annotated[Bound | str, BeforeValidator(_require_bound)]
RangeBounds = Annotated[tuple[RangeBound, RangeBound], Field(strict=False), AfterValidator(_require_order)]
Key = Annotated[Many[ColumnName], Field(min_length=1, max_length=MAX_KEY_COLUMNS)]


class Public(Section):
    """What everybody is told of the table; absent, nothing is. Names of columns have one spelling here."""

    rows: Annotated[int, Field(ge=1, le=MAX_ROWS)] | None = None
    """At most so many rows."""
    keys: Annotated[Many[Key], Field(max_length=MAX_KEYS)] = ()
    """No two rows agree in all columns of a key, and none of these is missing."""
    most: Annotated[
        Mapping[ColumnName, Annotated[int, Field(ge=1, le=MAX_MOST)]],
        Field(default_factory=dict, max_length=MAX_NAMED),
    ]
    """At most so many rows share one value of the column. A missing value is none."""
    ranges: Annotated[Mapping[ColumnName, RangeBounds], Field(default_factory=dict, max_length=MAX_NAMED)]
    """Least and greatest value, both allowed. Decimals are text; times are UTC."""
    bytes: Annotated[
        Mapping[ColumnName, Annotated[int, Field(ge=1, le=MAX_BYTES)]],
        Field(default_factory=dict, max_length=MAX_NAMED),
    ]
    """At most so many bytes of UTF-8 in a text of the column."""

    @model_validator(mode="after")
    def _require_one_spelling(self) -> Public:
        # Names are case-insensitive in SQL: two spellings could say two things of one column.
        names = set(self.columns)
        if len({name.casefold() for name in names}) != len(names):
            raise fault("two columns differ only in upper and lower case")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that something is said of, without repeats."""
        in_keys = (name for key in self.keys for name in key)
        return tuple(dict.fromkeys((*in_keys, *self.most, *self.ranges, *self.bytes)))

    def is_unique(self, columns: Collection[str]) -> bool:
        """Tell whether no two rows agree in all of `columns`: they include a key."""
        present = {name.lower() for name in columns}
        return any(present.issuperset(name.lower() for name in key) for key in self.keys)

    def most_of(self, column: str) -> int | None:
        """Return how many rows at most share one value of the column, or None; 1 where it is a key."""
        return 1 if self.is_unique([column]) else _at(self.most, column)

    def range_of(self, column: str) -> Range | None:
        """Return between which values those of the column lie, or None."""
        bounds = _at(self.ranges, column)
        return None if bounds is None else read_range(bounds)

    def bytes_of(self, column: str) -> int | None:
        """Return how many bytes of UTF-8 a text of the column has at most, or None."""
        return _at(self.bytes, column)


def _at(entries: Mapping[str, V], column: str) -> V | None:
    # `straße` and `strasse` are two columns of a source, and what holds for one may not hold for the other.
    return next((value for name, value in entries.items() if name.lower() == column.lower()), None)
