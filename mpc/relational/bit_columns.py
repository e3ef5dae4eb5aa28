"""Columns of shared bits and words: packed or a byte each, compared, and zero where a bit says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpc.bits import pack, unpack
from mpc.comparison import all_ones_bits
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import and_, multiply, public
from mpc.party import Party
from mpc.sharing import BYTE, Arithmetic, Boolean, Shared


def inverted(party: Party, packed: Boolean) -> Boolean:
    """Return the opposite of packed bits. No message."""
    return packed ^ public(party, Boolean, np.full(packed.shape, 255, dtype=BYTE))


def packed_bits(column: Boolean) -> Boolean:
    """Return a column (n,) of bytes 0 or 1 as packed bits (⌈n/8⌉,). No message."""
    return column.map(lambda x: pack(x & 1))  # a share of 0 or 1 fills its byte


def byte_column(packed: Boolean, count: int) -> Boolean:
    """Return packed bits as a column (n,) of bytes 0 or 1. No message."""
    return packed.map(lambda x: unpack(x, count, BYTE))


def equal_words(party: Party, pairs: Sequence[tuple[Boolean, Boolean, int]]) -> Boolean:
    """Return, packed, the rows in which all pairs of columns (n,) agree in their lowest bits.

    At least one pair; each comes with the number of bits that count. Bits after row n are unspecified.
    """
    agreeing = [_equal_pair(party, x, y, bits) for x, y, bits in pairs]
    result = agreeing[0]
    for same in agreeing[1:]:
        result = and_(party, result, same)
    return result


def masked_words(party: Party, packed: Boolean, columns: Sequence[Boolean]) -> tuple[Boolean, ...]:
    """Return columns (n,) with zeros where the packed bit is 0: one round a column."""
    return tuple(and_(party, column, _spread(packed, column)) for column in columns)


def masked_numbers(party: Party, packed: Boolean, columns: Sequence[Arithmetic]) -> tuple[Arithmetic, ...]:
    """Return columns (n,) with zeros where the packed bit is 0: two rounds, and one for each column."""
    if not columns:
        return ()
    bit = bits_to_arithmetic(party, packed, columns[0].size, max(column.dtype for column in columns))
    return tuple(multiply(party, bit.narrow(column.dtype), column) for column in columns)


def masked_columns(party: Party, packed: Boolean, columns: Sequence[Shared]) -> tuple[Shared, ...]:
    """Return columns (n,) of either ring, with zeros where the packed bit is 0; first the words."""
    words, numbers = by_ring(columns)
    return in_order(columns, masked_words(party, packed, words), masked_numbers(party, packed, numbers))


def by_ring(columns: Sequence[Shared]) -> tuple[list[Boolean], list[Arithmetic]]:
    """Part columns into words of bits and numbers."""
    words = [column for column in columns if isinstance(column, Boolean)]
    return words, [column for column in columns if isinstance(column, Arithmetic)]


def in_order(
    columns: Sequence[Shared], words: Sequence[Boolean], numbers: Sequence[Arithmetic]
) -> tuple[Shared, ...]:
    """Return what became of the words and the numbers `by_ring`, in the order of the columns."""
    parts = {Boolean: iter(words), Arithmetic: iter(numbers)}
    return tuple(next(parts[type(column)]) for column in columns)


def _equal_pair(party: Party, x: Boolean, y: Boolean, bits: int) -> Boolean:
    counted = x.dtype.type((1 << bits) - 1)
    ones = public(party, Boolean, np.full(x.shape, -1).astype(x.dtype))
    return all_ones_bits(party, (x ^ y).map(lambda words: words & counted) ^ ones)


def _spread(packed: Boolean, like: Boolean) -> Boolean:
    """Return words of equal bits: negation of a bit is linear over XOR, so that each share does it alone."""
    return packed.map(lambda x: np.negative(unpack(x, like.size, like.dtype)))
