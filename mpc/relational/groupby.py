"""Joint grouping of what several providers have each grouped already.

Every provider contributes one block: a row per local group, padded to a public length. Rows of different
blocks are compared by the 64-bit hash of their group key, all pairs, and summed where they agree. Nobody
learns which rows matched; lengths are public. Two different keys hash alike with probability 2^−64 a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mpc.comparison import equal_zero
from mpc.multiplication import matrix_cross_terms, multiply, reshare
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import WORD, Arithmetic, concatenate, stack
from records.errors import InputError

PAIRS_PER_BATCH = 1 << 18
"""Bounds memory: a batch takes some tens of MiB a party."""


@dataclass(frozen=True, slots=True)
class GroupBlock:
    """One provider's groups in shares, each column (G,).

    `tags` are distinct within the block; `valid` is 0 or 1. Padding rows are 0 in `valid` with random tags,
    and count for nothing whatever their other columns hold. `units` are counts below 2^40.
    """

    tags: Arithmetic
    valid: Arithmetic
    units: Arithmetic
    measures: tuple[Arithmetic, ...] = ()

    def __post_init__(self) -> None:
        columns = (self.tags, self.valid, self.units, *self.measures)
        if any(column.shape != (self.tags.size,) for column in columns):
            raise InputError("the columns of a block are one-dimensional and of one length")


@dataclass(frozen=True, slots=True)
class JointGroups:
    """The M rows of all blocks in their order; each row carries the totals of its group, in shares.

    `first` (M,) is 1 on the first valid row of every group, 0 elsewhere: take the groups from there.
    `units_by_provider` is (N, M), and `measures` are columns (M,). Invalid rows are 0 throughout.
    """

    first: Arithmetic
    units_by_provider: Arithmetic
    measures: tuple[Arithmetic, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of pairs: rows of one block against rows of later blocks."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Its sides."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def pairs(self) -> int:
        """How many pairs it holds."""
        return self.shape[0] * self.shape[1]


def union_group_by(party: Party, blocks: Sequence[GroupBlock]) -> JointGroups:
    """Group the rows of all blocks by tag; see `GroupBlock` and `JointGroups`.

    Raises:
        InputError: no block, or blocks with different numbers of measures.
    """
    if not blocks or len({len(block.measures) for block in blocks}) != 1:
        raise InputError("a joint group-by takes at least one block, all with the same measures")
    sizes = tuple(block.tags.size for block in blocks)
    tags = concatenate([block.tags for block in blocks])
    valid = concatenate([block.valid for block in blocks])
    values = _contributions(party, blocks, valid)

    # Additive parts of the sums over other blocks; the last column counts earlier valid rows.
    parts = np.zeros((tags.size, values.shape[1] + 1), dtype=WORD)
    with_valid = concatenate([values, valid.reshape(-1, 1)], axis=1)
    for batch in batches(sizes):
        for tile, matches in _match(party, tags, batch):
            parts[tile.rows, :-1] += matrix_cross_terms(matches, values[tile.columns])
            parts[tile.columns] += matrix_cross_terms(matches.map(np.transpose), with_valid[tile.rows])
    sums = reshare(party, Arithmetic, parts)

    totals = (values + sums[:, :-1]).map(np.transpose)
    first = multiply(party, valid, equal_zero(party, sums[:, -1]))
    count = len(blocks)
    return JointGroups(
        first, totals[:count], tuple(totals[count + k] for k in range(totals.shape[0] - count))
    )


def batches(sizes: Sequence[int]) -> Iterator[list[Tile]]:
    """Cut all pairs between different blocks into batches of at most `PAIRS_PER_BATCH`, in a fixed order."""
    batch: list[Tile] = []
    room = PAIRS_PER_BATCH
    for tile in _tiles(sizes):
        if tile.pairs > room:
            yield batch
            batch, room = [], PAIRS_PER_BATCH
        batch.append(tile)
        room -= tile.pairs
    if batch:
        yield batch


def _tiles(sizes: Sequence[int]) -> Iterator[Tile]:
    edges = np.cumsum([0, *sizes]).tolist()
    for start, stop in pairwise(edges[:-1]):
        width = min(edges[-1] - stop, PAIRS_PER_BATCH)
        if width == 0:
            continue
        height = PAIRS_PER_BATCH // width
        for row in range(start, stop, height):
            for column in range(stop, edges[-1], width):
                yield Tile(slice(row, min(row + height, stop)), slice(column, min(column + width, edges[-1])))


def _match(party: Party, tags: Arithmetic, batch: Sequence[Tile]) -> Iterator[tuple[Tile, Arithmetic]]:
    """Compare the tags of every pair of a batch at once; yield each tile with its matrix of 0 and 1."""
    differences = [
        (tags[tile.rows].reshape(-1, 1) - tags[tile.columns].reshape(1, -1)).reshape(tile.pairs)
        for tile in batch
    ]
    matches = equal_zero(party, concatenate(differences))
    start = 0
    for tile in batch:
        yield tile, matches[start : start + tile.pairs].reshape(*tile.shape)
        start += tile.pairs


def _contributions(party: Party, blocks: Sequence[GroupBlock], valid: Arithmetic) -> Arithmetic:
    """Return (M, N + K): what each row adds to the units of each provider and to each measure."""
    rows = [stack([block.units, *block.measures], axis=1) for block in blocks]
    # Whatever a padding row holds is cleared here rather than trusted to be zero.
    cleared = multiply(party, concatenate(rows), valid.reshape(-1, 1))
    provider = np.repeat(np.arange(len(blocks)), [block.tags.size for block in blocks])
    one_hot: Words = (provider[:, np.newaxis] == np.arange(len(blocks))).astype(WORD)
    units_by_provider = cleared[:, :1] * one_hot
    return concatenate([units_by_provider, cleared[:, 1:]], axis=1)
