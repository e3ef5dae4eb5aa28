"""The helper's join against a dictionary, and what the helper gets to see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.matching.intersection import IdLists
from mpc.party import Party
from mpc.relational.known_order import move_by_known
from mpc.relational.tag_join import tag_join
from mpc.sharing import Arithmetic, decode
from records.errors import EvidenceError, InputError
from tests.unit.mpc.relations import opened
from tests.unit.mpc.three_parties import Session, run, shared

Ids = list[int] | list[str]


def compute(
    first: Ids, second: Ids, columns: int, owners: tuple[int, int] = (0, 1)
) -> tuple[Session[list[Arithmetic]], list[list[int]]]:
    """Run the join; the values of row i of the first list are i + 1, −i − 2, ….

    Returns a row for each id of the second list: whether it was found, and values.
    """
    lists = IdLists(owners, (len(first), len(second)), columns)
    values = (np.arange(len(first))[:, np.newaxis] + 1 + np.arange(columns)) * (-1) ** np.arange(columns)

    def program(party: Party) -> list[Arithmetic]:
        if party.index == owners[0]:
            return [tag_join(party, lists, first, values if columns else None)]
        return [tag_join(party, lists, second if party.index == owners[1] else None)]

    session = run(program)
    return session, decode(opened(session)[0]).T.tolist()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(-3, 9), unique=True, max_size=9),
    st.lists(st.integers(-3, 9), max_size=12),
    st.integers(0, 2),
    st.permutations(range(3)),
    st.booleans(),
)
def test_each_row_gets_the_values_of_its_id(
    first: list[int], second: list[int], columns: int, parties: list[int], texts: bool
) -> None:
    sides: list[Ids] = [[str(i) for i in ids] if texts else ids for ids in (first, second)]
    _, found = compute(sides[0], sides[1], columns, (parties[0], parties[1]))
    row_of = {key: row for row, key in enumerate(first)}
    for key, row in zip(second, found, strict=True):
        place = row_of.get(key)
        values = [0] * columns if place is None else [(place + 1 + c) * (-1) ** c for c in range(columns)]
        assert row == [int(place is not None), *values]


def test_an_id_that_occurs_twice_in_the_first_list_is_refused_by_its_owner() -> None:
    with pytest.raises(InputError, match="twice"):
        compute([4, 4], [4], 1)


def test_what_the_helper_gets_does_not_tell_how_often_an_id_occurs() -> None:
    """Both second lists have one match; in one it is every row, in the other one row of many."""
    matches = []
    for second in ([7] * 6, [7, 1, 2, 3, 4, 5]):
        session, found = compute([7, 8, 9], second, 1)
        assert sum(row[0] for row in found) == second.count(7)
        first_frames = {frame.sender: frame.raw for frame in reversed(session.received_by(2))}
        of_first, of_second = (
            np.frombuffer(first_frames[party][: 8 * size], "<u8") for party, size in ((0, 3), (1, 6))
        )
        assert np.unique(of_second).size == 6
        matches.append(np.intersect1d(of_first, of_second).size)
    assert matches == [1, 1]


def test_what_is_sent_has_the_same_sizes_for_any_ids() -> None:
    traces = [compute(first, [1, 1, 2], 1)[0].trace() for first in ([1, 2], [8, 9])]
    assert traces[0] == traces[1]


@pytest.mark.parametrize("knower", [0, 1, 2])
@pytest.mark.parametrize("count", [0, 1, 9])
def test_columns_move_by_an_order_that_one_party_knows(knower: int, count: int) -> None:
    order = np.random.default_rng(3).permutation(count).astype(np.uint32)
    table = shared(np.arange(2 * count).reshape(2, count))
    session = run(
        lambda party: [
            move_by_known(party, table[party.index], order if party.index == knower else None, knower)
        ]
    )
    (moved,) = opened(session)
    np.testing.assert_array_equal(moved, np.arange(2 * count).reshape(2, count)[:, order])


def test_an_order_of_another_party_or_length_or_none_is_refused() -> None:
    table = shared([[1, 2, 3]])
    order = np.array([2, 0, 1], dtype=np.uint32)
    with pytest.raises(InputError):
        run(lambda party: move_by_known(party, table[party.index], order, 0))
    with pytest.raises(InputError):
        run(lambda party: move_by_known(party, table[party.index], None, 0))
    with pytest.raises(InputError):
        run(
            lambda party: move_by_known(party, table[party.index], order[:2] if party.index == 0 else None, 0)
        )


def test_an_order_that_is_no_permutation_is_evidence() -> None:
    table = shared([[1, 2, 3]])
    order = np.array([2, 0, 2], dtype=np.uint32)
    with pytest.raises(EvidenceError, match="no permutation"):
        run(lambda party: move_by_known(party, table[party.index], order if party.index == 0 else None, 0))
