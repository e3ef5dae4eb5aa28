from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.link import Link
from mpc.matching import costs as intersection_costs
from mpc.matching.intersection import IdLists, Intersection, intersection
from mpc.party import Party
from records.errors import EvidenceError, InputError
from tests.unit.mpc.columns import integers
from tests.unit.mpc.three_parties import Session, run, values_of

OWNERS = [(0, 1), (1, 0), (1, 2), (2, 0)]
Table = npt.NDArray[np.int64]


def met(
    lists: IdLists, first: npt.ArrayLike, second: npt.ArrayLike, values: Table | None = None, **options: Any
) -> Session[Intersection]:
    def program(party: Party) -> Intersection:
        if party.index == lists.owners[0]:
            return intersection(party, lists, first, values)
        return intersection(party, lists, second if party.index == lists.owners[1] else None)

    return run(program, **options)


def opened(session: Session[Intersection]) -> tuple[int, list[int]]:
    size = values_of([result.size for result in session.results])
    sums = values_of([result.sums for result in session.results])
    assert size.shape == (1,)
    return int(size[0]), sums.tolist()


@settings(max_examples=25, deadline=None)
@given(st.sets(integers, max_size=20), st.sets(integers, max_size=20), st.sampled_from(OWNERS))
def test_the_size_is_that_of_the_sets(first: set[int], second: set[int], owners: tuple[int, int]) -> None:
    lists = IdLists(owners, (len(first), len(second)))
    session = met(lists, np.array(list(first), dtype=np.int64), np.array(list(second), dtype=np.int64))
    assert opened(session) == (len(first & second), [])
    assert session.cost == intersection_costs.intersection(lists)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.integers(0, 30), st.tuples(st.integers(-50, 50), st.integers(-50, 50)), max_size=20),
    st.sets(st.integers(0, 30), max_size=20),
    st.sampled_from(OWNERS),
)
def test_columns_are_summed_over_the_ids_of_both(
    rows: dict[int, tuple[int, int]], second: set[int], owners: tuple[int, int]
) -> None:
    lists = IdLists(owners, (len(rows), len(second)), columns=2)
    table = np.array(list(rows.values()), dtype=np.int64).reshape(-1, 2)
    session = met(lists, np.array(list(rows), dtype=np.int64), np.array(list(second), dtype=np.int64), table)
    both = rows.keys() & second
    assert opened(session) == (len(both), [sum(rows[i][k] for i in both) for k in range(2)])
    assert session.cost == intersection_costs.intersection(lists)


def test_text_ids_meet() -> None:
    lists = IdLists((0, 2), (3, 2), columns=1)
    values = np.array([[5], [-7], [1 << 40]])
    assert opened(met(lists, ["åse", "bo", ""], ["", "åse"], values)) == (2, [5 + (1 << 40)])


def test_a_million_pairs_meet_exactly() -> None:
    generator = np.random.default_rng(3)
    first, second = (generator.choice(4000, 3000, replace=False) * 10**12 for _ in range(2))
    values = np.arange(3000).reshape(-1, 1)
    lists = IdLists((0, 1), (3000, 3000), columns=1)
    inside = np.isin(first, second)
    assert opened(met(lists, first, second, values)) == (int(inside.sum()), [int(values[inside].sum())])


@pytest.mark.parametrize("columns", [0, 1])
def test_messages_depend_on_the_lengths_alone(columns: int) -> None:
    lists = IdLists((0, 1), (40, 50), columns)
    ids = np.arange(40)
    traces = []
    for second in (np.arange(50), np.arange(50) + 1000):
        values = np.arange(40).reshape(-1, 1) if columns else None
        session = met(lists, ids, second, values)
        traces.append(session.trace())
        assert opened(session)[0] == (40 if second[0] == 0 else 0)
    assert traces[0] == traces[1]


def test_owners_receive_nothing_from_which_the_other_list_could_be_told() -> None:
    """What the owners get is the same, byte for byte, whatever the other's ids, except one masked word."""
    lists = IdLists((0, 1), (4, 4))
    first = np.arange(4)
    worlds = [met(lists, first, second) for second in (np.arange(4), np.arange(4) + 9)]
    for owner in (0, 1):
        received = [session.received_by(owner) for session in worlds]
        assert [[(f.sender, len(f.raw)) for f in frames] for frames in received] == [
            [(2, 8)] if owner == 0 else []
        ] * 2
    # F(k_2), the mask of the helper's word for party 0, is known to parties 2 and 1, not to party 0.


def test_the_order_of_tags_tells_nothing_about_the_order_of_rows() -> None:
    lists = IdLists((0, 1), (30, 30))
    sorted_ids, shuffled = np.arange(30), np.random.default_rng(0).permutation(30)
    frames = [met(lists, ids, sorted_ids).frames[0][0].raw for ids in (sorted_ids, shuffled)]
    assert frames[0] == frames[1]


def test_two_intersections_of_a_session_use_two_keys() -> None:
    lists = IdLists((0, 1), (5, 5))
    ids = np.arange(5)

    def program(party: Party) -> None:
        for _ in range(2):
            intersection(party, lists, ids if party.index < 2 else None)

    sent = run(program).frames[0]
    tags = [frame.raw for frame in sent if len(frame.raw) == 50]
    assert len(set(tags)) == 2


@pytest.mark.parametrize("culprit", [0, 1])
def test_a_duplicate_id_stops_its_owner_before_it_sends_anything(culprit: int) -> None:
    lists = IdLists((0, 1), (3, 3))
    ids = [np.array([1, 2, 3]), np.array([1, 2, 3])]
    ids[culprit] = np.array([7, 5, 7])
    sent: list[int] = []

    class Watched:
        def __init__(self, link: Link) -> None:
            self._link = link
            self.party = link.party
            self.receive = link.receive

        def send(self, to: int, frame: bytes | memoryview) -> None:
            sent.append(self.party)
            self._link.send(to, frame)

    with pytest.raises(InputError, match="occurs twice"):
        met(lists, *ids, wrap=Watched)
    assert culprit not in sent


@pytest.mark.parametrize(
    ("ids", "values"),
    [
        ([None, [1, 2], None], [None] * 3),
        ([[1, 2], [1], None], [None] * 3),
        ([[1, 2], [1, 2], [1, 2]], [None] * 3),
        ([[1, 2], [1, 2], None], [[[1], [2]], None, None]),
    ],
)
def test_inputs_of_the_wrong_party_or_length_are_refused(ids: list[Any], values: list[Any]) -> None:
    lists = IdLists((0, 1), (2, 2))
    with pytest.raises(InputError):
        run(lambda party: intersection(party, lists, ids[party.index], values[party.index]))


@pytest.mark.parametrize("values", [None, [[1, 2], [3, 4]], [1, 2], [[1.5], [2.5]]])
def test_columns_other_than_announced_are_refused(values: Any) -> None:
    lists = IdLists((0, 1), (2, 2), columns=1)
    with pytest.raises(InputError):
        run(
            lambda party: intersection(
                party, lists, [1, 2] if party.index < 2 else None, values if party.index == 0 else None
            )
        )


@pytest.mark.parametrize(
    ("owners", "sizes", "columns"),
    [((0, 0), (1, 1), 0), ((0, 3), (1, 1), 0), ((0, 1), (-1, 1), 0), ((0, 1), (1, 1), -1)],
)
def test_lists_that_make_no_sense_are_refused(
    owners: tuple[int, int], sizes: tuple[int, int], columns: int
) -> None:
    with pytest.raises(InputError):
        IdLists(owners, sizes, columns)


def test_a_provider_that_repeats_a_tag_to_inflate_the_size_is_found() -> None:
    lists = IdLists((0, 1), (2, 2))

    class Repeating:
        def __init__(self, link: Link) -> None:
            self._link = link
            self.party = link.party
            self.receive = link.receive

        def send(self, to: int, frame: bytes | memoryview) -> None:
            tags = np.frombuffer(frame, dtype=np.uint8).copy()
            if self.party == 0:
                tags[8:16], tags[18:20] = tags[:8], tags[16:18]
            self._link.send(to, tags.tobytes())

    with pytest.raises(EvidenceError, match="names one twice"):
        met(lists, np.arange(2), np.arange(2), wrap=Repeating)
