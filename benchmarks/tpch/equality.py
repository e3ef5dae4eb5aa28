"""Whether a result is DuckDB's: exact but for floats, in order as far as ORDER BY determines it.

Rows that agree in all keys of ORDER BY are a tie. Their order is free, and where LIMIT cuts through a tie,
any of its rows may stand in the result: so a result is compared with the answer to the query without LIMIT.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

FLOAT_TOLERANCE = 1e-6
"""Relative, where DuckDB's own column is a float: it divides and averages decimals in binary floats."""

Row = tuple[Any, ...]


def difference(ours: pa.Table, answer: pa.Table, order: Sequence[str], limit: int | None) -> str | None:
    """Return how `ours` differs from the first `limit` rows of `answer`, or None if it does not.

    `answer` is DuckDB's result without LIMIT, sorted by the columns `order`. Says where, never what: the text
    holds no value.
    """
    due = len(answer) if limit is None else min(limit, len(answer))
    if ours.column_names != answer.column_names:
        return "the names of the columns differ"
    if len(ours) != due:
        return f"{len(ours)} rows, DuckDB has {due}"
    theirs, mine = _rows(answer), _rows(ours)
    start = 0
    for tie in _ties(theirs, [answer.column_names.index(name) for name in order]):
        if start >= due:
            break
        end = min(start + len(tie), due)
        missing = _unmatched(mine[start:end], tie)
        if missing:
            return f"rows {start + 1} to {end} differ in {missing}"
        start = end
    return None


def shown_difference(ours: pa.Table, answer: pa.Table) -> str | None:
    """Return which rows of a partly suppressed result are none of DuckDB's, or None if all are.

    Suppressed cells are null and agree with anything; rows may be missing.
    """
    if ours.column_names != answer.column_names:
        return "the names of the columns differ"
    # Rows with fewer gaps choose first: they have fewer rows to choose from.
    fullest_first = sorted(_rows(ours), key=lambda row: row.count(None))
    missing = _unmatched(fullest_first, _rows(answer), gaps=True)
    return f"{missing} of what is shown are not DuckDB's" if missing else None


def _unmatched(ours: Sequence[Row], theirs: Sequence[Row], *, gaps: bool = False) -> str:
    """Return how many rows of `ours` have no partner of their own in `theirs`; empty text if each has.

    With `gaps`, a None of ours agrees with anything.
    """
    left = list(theirs)
    alone = 0
    for row in ours:
        partner = next((i for i, other in enumerate(left) if _same_row(row, other, gaps=gaps)), None)
        if partner is None:
            alone += 1
        else:
            del left[partner]
    return f"{alone} of {len(ours)} rows" if alone else ""


def _rows(table: pa.Table) -> list[Row]:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _ties(rows: Sequence[Row], keys: Sequence[int]) -> Iterator[Sequence[Row]]:
    start = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or not all(_same(rows[end][key], rows[end - 1][key]) for key in keys):
            yield rows[start:end]
            start = end


def _same_row(ours: Row, theirs: Row, *, gaps: bool) -> bool:
    return all((gaps and a is None) or _same(a, b) for a, b in zip(ours, theirs, strict=True))


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, float) and isinstance(ours, (float, int, Decimal)):
        return math.isclose(float(ours), theirs, rel_tol=FLOAT_TOLERANCE, abs_tol=0.0)
    if isinstance(ours, float) or isinstance(ours, bool) != isinstance(theirs, bool):
        return False  # a float where DuckDB is exact: it may be right here and wrong elsewhere
    return bool(ours == theirs)
