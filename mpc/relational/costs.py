"""What relational operators cost: rounds, and bytes sent by all three parties together.

Functions of public sizes only, as in `mpc/costs.py`; tests hold them equal to what the links count.
`widths` are the word bytes of the columns that move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from mpc.costs import (
    FREE,
    WORD_BYTES,
    Cost,
    all_ones_bits,
    bits_to_arithmetic,
    dot,
    is_negative,
    multiply,
    open_to_parties,
    reshare,
    reshare_pair,
    share_input,
    sign_bits,
    zero_bits,
)
from mpc.matching.intersection import IdLists
from mpc.relational import sorting
from mpc.relational.permutation import place_dtype
from mpc.relational.radix_sort import DIGIT_BITS
from mpc.relational.ranking import STEP_BITS

Keys: TypeAlias = Sequence[tuple[int, int]]
"""(bits, word bytes) of each key."""

_COUNT_BYTES = 4
_ROW_BYTES = 4


def shuffle(count: int, widths: Sequence[int]) -> Cost:
    """Permute columns together; `move` and `move_back` cost the same."""
    return Cost(2, 4 * sum(widths) * count) if widths else FREE


def disclose_order(count: int, widths: Sequence[int] = ()) -> Cost:
    """Open a shared order behind a shuffle, and move columns by it."""
    return shuffle(count, [place_bytes(count), *widths]) + open_to_parties(count, place_bytes(count))


def move_parts_back(count: int) -> Cost:
    """Fold two parts of a column of places into one, and move it back."""
    return Cost(1, place_bytes(count) * count) + shuffle(count, [place_bytes(count)])


def partition_places(count: int) -> Cost:
    """One product."""
    return reshare(count, place_bytes(count))


def sorted_places(count: int, keys: Keys) -> Cost:
    """Sort rows by keys of (bits, word bytes): a product for each key, and passes of a digit."""
    cost = FREE
    for bits, width in keys:
        cost += multiply(count, width) if bits > 1 else FREE
        for low in range(0, bits, DIGIT_BITS):
            marked = (1 << min(DIGIT_BITS, bits - low)) - 1
            cost += bits_to_arithmetic(marked * count, place_bytes(count))
            cost += disclose_order(count, [1]) + move_parts_back(count)
    # The first pass meets rows in their order: nothing is opened, and the places are shared at once.
    saved, first = disclose_order(count, [1]) + move_parts_back(count), partition_places(count)
    return Cost(cost.rounds - saved.rounds + first.rounds, cost.bytes - saved.bytes + first.bytes)


def compared_places(count: int, keys: Keys) -> Cost:
    """Compare all pairs of rows by keys of (bits, word bytes)."""
    pairs = count * (count - 1) // 2
    cost = bits_to_arithmetic(pairs, place_bytes(count))
    for _, width in keys:
        cost += reshare(pairs, width) + sign_bits(pairs, width) + reshare(packed_bytes(pairs), 1)
    for _, width in keys[:-1]:
        cost += all_ones_bits(pairs, width) + reshare(packed_bytes(pairs), 1)
    return cost


def row_places(count: int, keys: Keys) -> Cost:
    """Sort rows by the protocol that `sorting` takes for their number."""
    return (compared_places if count <= sorting.PAIRWISE_ROWS else sorted_places)(count, keys)


def sort_rows(count: int, keys: Keys, widths: Sequence[int], *, filtered: bool) -> Cost:
    """Sort rows of which `filtered` tells whether they have valid bits, and move columns of `widths`.

    `ranking.top_rows` costs the same.
    """
    valid = [(1, 1)] if filtered else []
    columns = [*widths_of(keys), *widths, *widths_of(valid)]
    return row_places(count, [*valid, *keys]) + disclose_order(count, columns)


def equal_words(count: int, widths: Sequence[int]) -> Cost:
    """Compare pairs of columns, and combine packed answers."""
    cost = Cost(0, 0)
    for width in widths:
        cost += all_ones_bits(count, width)
    for _ in widths[1:]:
        cost += reshare(packed_bytes(count), 1)
    return cost


def masked_words(count: int, widths: Sequence[int]) -> Cost:
    """Clear words by packed bits."""
    return Cost(len(widths), 3 * sum(widths) * count)


def masked_numbers(count: int, widths: Sequence[int]) -> Cost:
    """Clear numbers by packed bits."""
    if not widths:
        return FREE
    return bits_to_arithmetic(count, max(widths)) + Cost(len(widths), 3 * sum(widths) * count)


def distinct(count: int, keys: Keys, *, filtered: bool) -> Cost:
    """Sort, compare neighbours, and clear all rows but one of each key."""
    return sorted_runs(count, keys, keys, (), filtered=filtered) + masked_words(count, widths_of(keys))


@dataclass(frozen=True, slots=True)
class Grouped:
    """What `group_rows` is asked for: keys of the order, and the word bytes of columns."""

    order: Keys = ()
    sums: Sequence[int] = ()
    last_words: Sequence[int] = ()
    last_numbers: Sequence[int] = ()
    countable: bool = False


def group_rows(count: int, keys: Keys, wanted: Grouped, *, filtered: bool) -> Cost:
    """Group rows of which `filtered` tells whether they have valid bits."""
    by = [*keys, *([(1, 1)] if wanted.countable else []), *wanted.order]
    cost = sorted_runs(
        count, keys, by, [*wanted.last_words, *wanted.last_numbers, *wanted.sums], filtered=filtered
    )
    words, numbers = [*widths_of(keys), *wanted.last_words], [*wanted.last_numbers, WORD_BYTES, *wanted.sums]
    if wanted.order:
        answers = equal_words(count, widths_of(wanted.order)) + reshare(packed_bytes(count), 1)
        cost += answers + bits_to_arithmetic(count)
        cost += reshare(packed_bytes(count), 1) if wanted.countable else FREE
        numbers = [*numbers, WORD_BYTES]
    cost += marked_first(count, [*words, *numbers])
    return cost + masked_words(count, words) + masked_numbers(count, numbers)


def total_rows(count: int, wanted: Grouped) -> Cost:
    """Sum what the valid bits select; sort only for an order or last columns."""
    cost = bits_to_arithmetic(count)
    for width in wanted.sums:
        cost += dot(1, width)
    if wanted.order or wanted.last_words or wanted.last_numbers:
        cost += group_rows(count, (), replace(wanted, sums=()), filtered=True)
    return cost


def marked_first(count: int, widths: Sequence[int]) -> Cost:
    """Bring marked rows to the front, with columns of `widths`."""
    marks = bits_to_arithmetic(count, place_bytes(count)) + partition_places(count)
    return marks + disclose_order(count, [1, *widths])


def sorted_runs(count: int, keys: Keys, order: Keys, widths: Sequence[int], *, filtered: bool) -> Cost:
    """Sort rows and columns of `widths` by `order`, and compare the keys of neighbours."""
    cost = sort_rows(count, order, widths, filtered=filtered)
    if not keys:
        return cost
    cost += equal_words(count, widths_of(keys))
    return cost + reshare(packed_bytes(count), 1) if filtered else cost


def widths_of(keys: Keys) -> list[int]:
    """Return the word bytes of keys."""
    return [width for _, width in keys]


def place_bytes(count: int) -> int:
    """Return the bytes of a place among so many rows."""
    return place_dtype(count).itemsize


def packed_bytes(count: int) -> int:
    """Return the bytes of so many packed bits."""
    return -(-count // 8)


def join(
    counts: tuple[int, int],
    keys: Keys,
    widths: tuple[Sequence[int], Sequence[int]],
    *,
    filtered: tuple[bool, bool] = (False, False),
    most: int = 1,
) -> Cost:
    """Join (left, right) rows, and open whether a key has too many; widths as in `join_bounded`."""
    bounded = join_bounded(counts, keys, widths, filtered=filtered, most=most)
    return bounded + bits_to_arithmetic(1, 1) + open_to_parties(1, 1)


def join_bounded(
    counts: tuple[int, int],
    keys: Keys,
    widths: tuple[Sequence[int], Sequence[int]],
    *,
    filtered: tuple[bool, bool] = (False, False),
    most: int = 1,
) -> Cost:
    """Join (left, right) rows; `widths` are those of the left words and of the left numbers."""
    left, right = counts
    rows = left + right
    valid = [(1, 1)] if any(filtered) else []
    columns = [*widths_of(keys), *widths[0], *widths[1]]
    cost = (
        row_places(rows, [*valid, *keys]) + disclose_order(rows, [place_bytes(rows)]) + move_parts_back(rows)
    )
    cost += disclose_order(left, [*columns, *([1] if filtered[0] else [])])
    pairs = max(0, left - most)
    cost += equal_words(pairs, widths_of(keys)) + (reshare(packed_bytes(pairs), 1) if filtered[0] else FREE)
    cost += bits_to_arithmetic(pairs, place_bytes(pairs)) + zero_bits(1, place_bytes(pairs))
    for _ in range(most):
        cost += shuffle(left, [1, *columns]) + shuffle(rows, [1, *columns]) + shuffle(rows, [1, *columns])
        cost += equal_words(right, widths_of(keys)) + reshare(packed_bytes(right), 1)
        cost += reshare(packed_bytes(right), 1) if filtered[1] else FREE
        cost += masked_words(right, widths[0]) + masked_numbers(right, widths[1])
    return cost


def kth_ranked(bits: int) -> Cost:
    """Compare 256 counts for every eight bits; `quantile` costs the same, and rows cost nothing."""
    step = reshare(1 << STEP_BITS) + is_negative(1 << STEP_BITS, result_bytes=1)
    step += open_to_parties(1 << STEP_BITS, 1)
    return Cost(step.rounds * (bits // STEP_BITS), step.bytes * (bits // STEP_BITS))


def move_by_known(columns: int, count: int) -> Cost:
    """Move columns of 64 bits by an order that one party knows."""
    return Cost(1, (_ROW_BYTES + columns * WORD_BYTES) * count) + reshare_pair(columns * count)


def tag_join(lists: IdLists) -> Cost:
    """Send all tags, enter the columns, and move them thrice."""
    size, count = lists.sizes
    moved = 1 + lists.columns
    cost = Cost(1, lists.tag_bytes * (size + count)) + share_input(lists.columns * size)
    return (
        cost
        + move_by_known(moved, size + count)
        + move_by_known(moved, 2 * count)
        + move_by_known(moved, 2 * count)
    )
