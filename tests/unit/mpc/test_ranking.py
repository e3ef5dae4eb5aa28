"""Ranks over rows that parties hold apart, against NumPy on all rows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.manifest import Manifest
from mpc.party import Party
from mpc.relational.radix_sort import SortKey
from mpc.relational.ranking import (
    counts_at_most,
    kth_openings,
    kth_ranked,
    local_greatest,
    quantile,
    top_rows,
)
from mpc.relational.tables import Rows, row_openings
from mpc.sharing import Shared
from records.errors import EvidenceError, InputError
from tests.unit.mpc.relations import assert_in_step, columns_of, opened, shared_words
from tests.unit.mpc.three_parties import run, shared

few = settings(max_examples=15, deadline=None)
Column = npt.NDArray[np.uint64]
BITS = 16


@st.composite
def holdings(draw: st.DrawFn) -> list[Column]:
    """Draw what three parties hold, at least one row in all: extremes, ties, and parties without rows."""
    value = st.one_of(st.sampled_from([0, 255, 256, 65535]), st.integers(0, 65535))
    columns = [draw(st.lists(value, max_size=8)) for _ in range(3)]
    if not any(columns):
        columns[draw(st.integers(0, 2))] = [draw(value)]
    return [np.array(column, dtype=np.uint64) for column in columns]


@few
@given(holdings(), st.data())
def test_the_kth_value_is_that_of_all_rows(columns: list[Column], data: st.DataObject) -> None:
    together = np.sort(np.concatenate(columns))
    rank = data.draw(st.integers(1, together.size))

    def program(party: Party) -> int:
        found = kth_ranked(party, counts_at_most(columns[party.index]), rank, BITS, "k")
        party.finish()
        return found

    session = run(program, Manifest(kth_openings("k", BITS)))
    assert_in_step(session)
    assert session.results == (together[rank - 1],) * 3


@few
@given(holdings(), st.integers(0, 20), st.integers(1, 20))
def test_a_quantile_is_a_value_of_the_rows(columns: list[Column], numerator: int, denominator: int) -> None:
    numerator = min(numerator, denominator)
    together = np.sort(np.concatenate(columns))
    place = max(1, math.ceil(together.size * numerator / denominator))
    session = run(
        lambda party: quantile(
            party, counts_at_most(columns[party.index]), (numerator, denominator), BITS, "k"
        ),
        Manifest(kth_openings("k", BITS)),
    )
    assert session.results == (together[place - 1],) * 3


def test_a_value_may_have_64_bits_and_a_party_no_rows() -> None:
    column = np.array([(1 << 64) - 1, 1 << 63, 0], dtype=np.uint64)
    counts = counts_at_most(column)
    for rank, expected in ((1, 0), (2, 1 << 63), (3, (1 << 64) - 1)):
        session = run(
            lambda party, rank=rank: kth_ranked(party, counts if party.index == 1 else None, rank, 64, "k"),  # type: ignore[misc]
            Manifest(kth_openings("k", 64)),
        )
        assert session.results == (expected,) * 3


def test_a_rank_beyond_all_rows_is_an_error_at_every_party() -> None:
    counts = counts_at_most(np.array([1, 2]))
    with pytest.raises(InputError, match="fewer rows"):
        run(lambda party: kth_ranked(party, counts, 7, BITS, "k"), Manifest(kth_openings("k", BITS)))
    with pytest.raises(InputError, match="fewer rows"):
        run(lambda party: quantile(party, None, (1, 2), BITS, "k"), Manifest(kth_openings("k", BITS)))
    with pytest.raises(InputError, match="fewer rows"):
        run(lambda party: quantile(party, None, (0, 2), BITS, "k"), Manifest(kth_openings("k", BITS)))


def test_ranks_widths_and_fractions_that_mean_nothing_are_refused() -> None:
    for rank, bits in ((0, 8), (1 << 40, 8), (1, 0), (1, 12), (1, 72)):
        with pytest.raises(InputError):
            run(lambda party, rank=rank, bits=bits: kth_ranked(party, None, rank, bits, "k"))  # type: ignore[misc]
    for fraction in ((-1, 2), (3, 2), (0, 0), (1, (1 << 20) + 1)):
        with pytest.raises(InputError):
            run(lambda party, fraction=fraction: quantile(party, None, fraction, 8, "k"))  # type: ignore[misc]


def test_counts_that_are_no_counts_are_refused_before_they_are_sent() -> None:
    for counts in ([1, 2], [0.5] * 256, [-1] * 256, [1 << 40] * 256):
        with pytest.raises(InputError):
            run(lambda party, counts=counts: kth_ranked(party, lambda _: counts, 1, 8, "k"))  # type: ignore[misc]


def test_counts_that_fall_are_evidence_and_not_a_result() -> None:
    falling = [5] * 7 + [0] * 248 + [5]
    with pytest.raises(EvidenceError, match="fall"):
        run(lambda party: kth_ranked(party, lambda _: falling, 1, 8, "k"), Manifest(kth_openings("k", 8)))


def test_the_greatest_values_of_a_party_are_its_earliest_of_equal_ones() -> None:
    values = np.array([3, 9, 9, 1, 9])
    assert local_greatest(values, 2).tolist() == [1, 2]
    assert local_greatest(values, 9).tolist() == [1, 2, 4, 0, 3]
    assert local_greatest(values[:0], 3).tolist() == []


def test_the_top_rows_of_all_parties_come_from_their_own_top_rows() -> None:
    own = [np.array([5, 70, 6, 7]), np.array([71, 4, 3]), np.array([60])]
    pruned = [column[local_greatest(column, 2)] for column in own]
    values = np.concatenate(pruned)
    keys, payload, names = shared_words(values), shared(values * 10), shared_words(values + 1, np.uint8)

    def program(party: Party) -> list[Shared]:
        i = party.index
        rows = Rows((SortKey(keys[i], BITS, descending=True),))
        table = top_rows(party, rows, (payload[i],), 2, "t", words=[names[i]])
        party.finish()
        return columns_of(table.keys, table.numbers, table.words)

    found, moved, named = opened(run(program, Manifest(row_openings("t", values.size, [BITS]))))
    assert found.tolist() == [71, 70]
    assert moved.tolist() == [710, 700]
    assert named.tolist() == [72, 71]
