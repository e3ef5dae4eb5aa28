"""Stable sorting of a small table: every pair of rows compared at once, in a constant number of rounds.

A row's place is the number of rows that go before it: a sum of comparisons, local once these are numbers.
Nothing is opened, not even a shuffled order. Comparing costs n²/2, so that this pays for tables of some
hundred rows, where a radix sort spends its time on rounds. (Sorting after a shuffle by opened comparisons,
Hamada et al., ICISC 2012, needs n log n of them, but their number depends on the shuffle: it has no
declared cost, and 20 comparisons of keys that are made unique are no cheaper than a radix sort.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpc.bits import reverse_indices
from mpc.comparison import sign_bits
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import and_, public
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.bit_columns import equal_words, packed_bits
from mpc.relational.permutation import place_dtype
from mpc.relational.radix_sort import SortKey
from mpc.sharing import Arithmetic, Boolean


def compared_places(party: Party, keys: Sequence[SortKey]) -> Arithmetic:
    """Return the place of each row in the sorted table, in words of `place_dtype`, (n,).

    As `radix_sort.sorted_places`, with at least one key of one length; no message shows anything.
    """
    count = keys[0].words.size
    earlier, later = np.triu_indices(count, 1)
    ordered = bits_to_arithmetic(
        party, _follows(party, keys, earlier, later), earlier.size, place_dtype(count)
    )
    square = ordered.map(lambda x: _square(x, earlier, later, count))
    rows = public(party, Arithmetic, np.arange(count).astype(ordered.dtype))
    # A row goes behind the later ones that it follows, and behind the earlier ones that do not follow it.
    return square.sum(axis=1) + rows - square.sum(axis=0)


def _follows(
    party: Party, keys: Sequence[SortKey], earlier: npt.NDArray[np.intp], later: npt.NDArray[np.intp]
) -> Boolean:
    """Return, packed, which of the earlier rows of a pair have keys behind those of the later one."""
    *more, last = (
        (key.words[first], key.words[second], key.bits)
        for key in keys
        for first, second in [(earlier, later) if key.descending else (later, earlier)]
    )
    result = less_bits(party, *last)
    for x, y, bits in reversed(more):  # where this key does not decide, those behind it do
        result = less_bits(party, x, y, bits) ^ and_(party, equal_words(party, [(x, y, bits)]), result)
    return result


def less_bits(party: Party, x: Boolean, y: Boolean, bits: int) -> Boolean:
    """Return, packed, where words x < y (n,) in their lowest bits, as unsigned numbers.

    Shifted to the top of their words, and without their first bits, x < y where y + ¬x carries into that
    place: a carry tree. Where the first bits differ, y's decides. Bits after row n are unspecified.
    """
    width = 8 * x.dtype.itemsize
    low = np.full(x.shape, (1 << width - 1) - 1).astype(x.dtype)
    x, y = (words.map(lambda part: part << (width - bits)) for words in (x, y))
    x_low, y_low = (words.map(lambda part: reverse_indices(part & low)) for words in (x, y))
    not_x = x_low ^ public(party, Boolean, reverse_indices(low))
    carried = sign_bits(party, and_(party, not_x, y_low), not_x ^ y_low)
    x_top, y_top = (packed_bits(words.map(lambda part: part >> (width - 1))) for words in (x, y))
    return carried ^ and_(party, x_top ^ y_top, carried ^ y_top)


def _square(column: Words, earlier: npt.NDArray[np.intp], later: npt.NDArray[np.intp], count: int) -> Words:
    square = np.zeros((count, count), dtype=column.dtype)
    square[earlier, later] = column
    return square
