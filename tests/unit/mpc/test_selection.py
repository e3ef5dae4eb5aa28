"""Percentiles and medians of groups in shares against sorted lists."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.relational import selection
from mpc.relational.radix_sort import SortKey
from mpc.relational.selection import LOWER_MEDIAN, UPPER_MEDIAN, Place, group_select, select_openings
from mpc.relational.tables import Rows
from mpc.sharing import WORD, WORD32, Shared
from records.errors import InputError
from tests.unit.mpc.relations import columns_of, either_sort, opened, shared_words
from tests.unit.mpc.three_parties import run, shared

__all__ = ["either_sort"]  # a fixture: each test runs with both sorting protocols

MEDIANS = (LOWER_MEDIAN, UPPER_MEDIAN)


@dataclass(frozen=True)
class Plain:
    """Rows in plain: a key, a value, and which rows count and are counted."""

    key: list[int] | None
    value: list[int]
    valid: list[int] | None
    countable: list[int] | None

    @property
    def count(self) -> int:
        return len(self.value)

    @property
    def key_bits(self) -> list[int]:
        marks = [[] if bits is None else [1] for bits in (self.valid, self.countable)]
        return [*marks[0], *([] if self.key is None else [6]), *marks[1], 64]

    def groups(self) -> dict[int, list[int]]:
        """Return the countable values of each key, rising."""
        found: dict[int, list[int]] = defaultdict(list)
        for row in range(self.count):
            if self.valid is None or self.valid[row]:
                values = found[0 if self.key is None else self.key[row]]
                if self.countable is None or self.countable[row]:
                    values.append(self.value[row])
        return {key: sorted(found[key]) for key in sorted(found)}


@st.composite
def tables(draw: st.DrawFn) -> Plain:
    count = draw(st.integers(1, 16))

    def column(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    keyed = draw(st.booleans())
    return Plain(
        column(0, draw(st.sampled_from([0, 2, 63]))) if keyed else None,
        column(1, draw(st.sampled_from([2, (1 << 64) - 1]))),
        column(0, 1) if draw(st.booleans()) or not keyed else None,
        column(0, 1) if draw(st.booleans()) else None,
    )


def check_selected(table: Plain, places: Sequence[Place]) -> None:
    keys, value = shared_words(table.key or [0], np.uint8), shared_words(table.value, np.uint64)
    number = shared(np.array(table.value, dtype=np.uint64))
    valid, countable = (
        None if bits is None else shared_words(bits, np.uint8) for bits in (table.valid, table.countable)
    )

    def program(party: Party) -> list[Shared]:
        i = party.index
        found = group_select(
            party,
            Rows(() if table.key is None else (SortKey(keys[i], 6),), None if valid is None else valid[i]),
            SortKey(value[i], 64),
            places,
            columns=[number[i], value[i]],
            countable=None if countable is None else countable[i],
            prefix="g",
        )
        party.finish()
        return columns_of([found.valid], found.keys, *found.at)

    manifest = Manifest(select_openings("g", table.count, table.key_bits, places))
    marks, *columns = opened(run(program, manifest))
    groups = table.groups()
    np.testing.assert_array_equal(marks, np.arange(table.count) < len(groups))
    expected = []
    for key, values in groups.items():
        ranks = [max(1, math.ceil((p.numerator * len(values) + p.more) / p.denominator)) for p in places]
        chosen = [values[rank - 1] if values else 0 for rank in ranks for _ in "nw"]
        expected.append([*([] if table.key is None else [key]), *chosen])
    rows = [[int(cell) for cell in row] for row in zip(*columns, strict=True)]
    assert rows[: len(groups)] == expected
    assert not any(column[len(groups) :].any() for column in columns)


@settings(max_examples=15, deadline=None)
@given(tables())
def test_medians_are_the_middle_rows_of_their_groups(table: Plain) -> None:
    check_selected(table, MEDIANS)


@settings(max_examples=15, deadline=None)
@given(tables(), st.integers(0, 1 << 20), st.integers(1, 1 << 20))
def test_a_percentile_is_a_value_of_its_group(table: Plain, numerator: int, denominator: int) -> None:
    check_selected(table, [Place(min(numerator, denominator), denominator)])


FULL = Plain([3] * 9, list(range(1, 10)), [1] * 9, [1] * 9)
EDGES = [
    FULL,
    replace(FULL, valid=[0] * 9),
    replace(FULL, countable=[0] * 9),
    replace(FULL, countable=[0] * 8 + [1], valid=None),
    Plain(list(range(9)), [5] * 9, None, [1, 0] * 4 + [1]),
    Plain(None, [7], [1], None),
    Plain(None, [7], [0], [1]),
    Plain([63], [(1 << 64) - 1], None, [0]),
]


@pytest.mark.parametrize("table", EDGES)
def test_places_hold_for_one_row_one_group_and_none_that_counts(table: Plain) -> None:
    check_selected(table, [*MEDIANS, Place(0, 1), Place(1, 1), Place(9, 10)])


def test_short_words_are_taken_where_all_products_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert selection.distance_dtype(1 << 20, MEDIANS) == WORD32
    assert selection.distance_dtype(1 << 20, [Place(1, 2000)]) == WORD32
    assert selection.distance_dtype(1 << 20, [LOWER_MEDIAN, Place(1, 2048)]) == WORD
    monkeypatch.setattr(selection, "distance_dtype", lambda *_: WORD)
    check_selected(FULL, MEDIANS)


@pytest.mark.parametrize("parts", [(-1, 2, 0), (3, 2, 0), (0, 0, 0), (1, 2, 2), (1, 2, -1), (1, 1 << 21, 0)])
def test_a_place_outside_the_rows_is_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(InputError):
        Place(*parts)


def test_a_selection_of_no_place_is_refused() -> None:
    key = SortKey(shared_words([1])[0], 1)
    with pytest.raises(InputError, match="at least one place"):
        run(lambda party: group_select(party, Rows((key,)), key, [], columns=[], prefix="g"))
