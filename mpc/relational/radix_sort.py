"""Stable sorting of rows by shared bits, without a comparison: an oblivious radix sort.

The keys stay where they are. What is refined is the shared list of places that rows have after the lower
digits are sorted (Asharov et al., ePrint 2022/1595, section 4; Chida et al., ePrint 2019/695): a pass of two
bits moves one byte and one column of places, however wide the keys are, and the result moves any columns
there and back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mpc.bits import pack
from mpc.conversion import bits_to_arithmetic
from mpc.manifest import Opening
from mpc.multiplication import and_, public, reshare
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.partition import rank_parts
from mpc.relational.permutation import place_dtype
from mpc.relational.shuffle import disclose_order, move_parts_back
from mpc.sharing import BYTE, Arithmetic, Boolean
from records.errors import InputError

DIGIT_BITS = 2


@dataclass(frozen=True, slots=True)
class SortKey:
    """A column (n,) of shared words, sorted by its lowest `bits` as unsigned numbers."""

    words: Boolean
    bits: int
    descending: bool = False

    def __post_init__(self) -> None:
        if len(self.words.shape) != 1 or not 1 <= self.bits <= 8 * self.words.dtype.itemsize:
            raise InputError("a sort key is a column of words, of which one bit to all count")


def sorted_places(party: Party, keys: Sequence[SortKey], prefix: str) -> Arithmetic:
    """Return the place of each row in the sorted table, shared in words of `place_dtype`, (n,).

    The first key decides, then the second, as in ORDER BY; rows that agree keep their order. Each pass but
    the first opens an order under `prefix`, behind a shuffle: see `sort_openings`.

    Raises:
        EvidenceError: the manifest does not have these openings now, or a peer deviates.
        InputError: no key, or keys of different lengths.
    """
    if not keys or len({key.words.size for key in keys}) != 1:
        raise InputError("rows are sorted by at least one key, and keys are of one length")
    digits = _digits(party, keys)
    digit, bits = next(digits)
    places = reshare(party, Arithmetic, rank_parts(party, _marks(party, digit, bits)), "rank")
    for number, (digit, bits) in enumerate(digits, start=1):
        order, (moved,) = disclose_order(party, places, f"{prefix}/{number}", [digit])
        places = move_parts_back(party, order, rank_parts(party, _marks(party, moved, bits)))
    return places


def sort_openings(prefix: str, count: int, key_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of `sorted_places` by keys of these bits, in order."""
    return tuple(Opening(f"{prefix}/{n}", "parties", (count,)) for n in range(1, passes(key_bits)))


def passes(key_bits: Sequence[int]) -> int:
    """Return how many digits keys of these bits have."""
    return sum(-(-bits // DIGIT_BITS) for bits in key_bits)


def _digits(party: Party, keys: Sequence[SortKey]) -> Iterator[tuple[Boolean, int]]:
    """Yield the digits of all keys from the lowest, as bytes (n,), with their number of bits.

    A digit of two bits has their product in its third, so that no pass waits for one.
    """
    for key in reversed(keys):
        words = key.words
        if key.descending:
            words = words ^ public(party, Boolean, np.full(words.shape, -1).astype(words.dtype))
        both = and_(party, words, words.map(lambda x: x >> 1)) if key.bits > 1 else words
        for low in range(0, key.bits, DIGIT_BITS):
            if low + 1 == key.bits:
                yield Boolean(*(_bits(x, low, 1) for x in (words.own, words.next))), 1
            else:
                pairs = ((words.own, both.own), (words.next, both.next))
                yield Boolean(*(_bits(x, low, 3) | _bits(y, low, 1) << 2 for x, y in pairs)), DIGIT_BITS


def _bits(words: Words, low: int, mask: int) -> Words:
    return (words >> low).astype(BYTE) & BYTE.type(mask)


def _marks(party: Party, digit: Boolean, bits: int) -> Arithmetic:
    """Return marks (k, n) of the digits 1 to k = 2^bits − 1, from bytes that hold bits and their product."""
    count, marked = digit.size, (1 << bits) - 1
    planes = np.arange(marked, dtype=BYTE)[:, np.newaxis]
    packed = digit.map(lambda x: pack((x >> planes & 1).reshape(-1)))
    marks = bits_to_arithmetic(party, packed, marked * count, place_dtype(count)).reshape(marked, count)
    if bits > 1:
        for shares in (marks.own, marks.next):
            shares[:2] -= shares[2]
    return marks
