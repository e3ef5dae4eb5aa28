"""Joint grouping against a dictionary, and its batches against all pairs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mpc.relational.groupby
from mpc.relational.costs import union_group_by as declared
from mpc.relational.groupby import GroupBlock, batches, union_group_by
from mpc.sharing import Arithmetic
from records.errors import InputError
from tests.unit.mpc.three_parties import run, shared, values_of


@dataclass(frozen=True)
class PlainBlock:
    tags: list[int]
    valid: list[int]
    units: list[int]
    measures: list[list[int]]


@st.composite
def providers(draw: st.DrawFn) -> list[PlainBlock]:
    """Draw one to four blocks over a small set of tags, with padding rows that hold rubbish."""
    measures = draw(st.integers(0, 2))
    blocks = []
    for index in range(draw(st.integers(1, 4))):
        real = draw(st.lists(st.integers(0, 5), unique=True, max_size=5))
        padding = draw(st.integers(0, 2))
        size = len(real) + padding
        tags = real + [1000 * (index + 1) + k for k in range(padding)]
        column = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=size, max_size=size)
        blocks.append(
            PlainBlock(
                tags,
                [1] * len(real) + [0] * padding,
                draw(st.lists(st.integers(0, 1 << 39), min_size=size, max_size=size)),
                [draw(column) for _ in range(measures)],
            )
        )
    return blocks


def compute(blocks: list[PlainBlock]) -> tuple[list[int], list[list[int]], list[list[int]]]:
    """Run the protocol; check its declared cost on the way."""

    def column(values: list[int]) -> tuple[Arithmetic, Arithmetic, Arithmetic]:
        return shared(np.array(values, dtype=np.int64))

    shares = [
        (column(b.tags), column(b.valid), column(b.units), [column(m) for m in b.measures]) for b in blocks
    ]

    def local(i: int) -> list[GroupBlock]:
        return [GroupBlock(t[i], v[i], u[i], tuple(m[i] for m in ms)) for t, v, u, ms in shares]

    session = run(lambda party: union_group_by(party, local(party.index)))
    assert session.cost == declared([len(b.tags) for b in blocks], len(blocks[0].measures))
    first = values_of([groups.first for groups in session.results])
    units = values_of([groups.units_by_provider for groups in session.results])
    measures = [
        values_of(columns).tolist()
        for columns in zip(*(groups.measures for groups in session.results), strict=True)
    ]
    return first.tolist(), units.tolist(), measures


def signed(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


@settings(max_examples=40, deadline=None)
@given(providers())
def test_joint_groups_agree_with_a_dictionary(blocks: list[PlainBlock]) -> None:
    rows = [(p, i) for p, block in enumerate(blocks) for i in range(len(block.tags))]
    members: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for p, i in rows:
        if blocks[p].valid[i]:
            members[blocks[p].tags[i]].append((p, i))
    group = [members[blocks[p].tags[i]] if blocks[p].valid[i] else [] for p, i in rows]

    first, units, measures = compute(blocks)
    assert first == [int(bool(g) and g[0] == row) for g, row in zip(group, rows, strict=True)]
    for provider in range(len(blocks)):
        assert units[provider] == [sum(blocks[p].units[i] for p, i in g if p == provider) for g in group]
    for k, column in enumerate(measures):
        assert column == [signed(sum(blocks[p].measures[k][i] for p, i in g)) for g in group]


def test_pairs_over_the_limit_are_taken_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpc.relational.groupby, "PAIRS_PER_BATCH", 7)
    block = PlainBlock([1, 2, 3, 4], [1, 1, 1, 0], [5, 6, 7, 8], [[1, 2, 3, 4]])
    first, units, measures = compute([block, block, block])
    assert first == [1, 1, 1, 0] + [0] * 8
    assert units == [[5, 6, 7, 0] * 3] * 3
    assert measures == [[3, 6, 9, 0] * 3]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.integers(1, 40))
def test_batches_cover_each_pair_of_different_blocks_once(sizes: list[int], limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mpc.relational.groupby, "PAIRS_PER_BATCH", limit)
        found = list(batches(sizes))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    seen = np.zeros((owner.size, owner.size), dtype=int)
    for batch in found:
        assert 0 < sum(tile.pairs for tile in batch) <= limit
        for tile in batch:
            seen[tile.rows, tile.columns] += 1
    np.testing.assert_array_equal(seen, owner[:, np.newaxis] < owner)


def test_blocks_that_do_not_fit_together_are_refused() -> None:
    column = shared([1, 2])[0]
    with pytest.raises(InputError):
        GroupBlock(column, column, column, (shared([1])[0],))
    with_measure, without = (
        GroupBlock(column, column, column, (column,)),
        GroupBlock(column, column, column),
    )
    for blocks in ([], [with_measure, without]):
        with pytest.raises(InputError):
            run(lambda party, blocks=blocks: union_group_by(party, blocks))  # type: ignore[misc]
