"""What runs, windows and selections cost; see `mpc/relational/costs.py`."""

from __future__ import annotations

from collections.abc import Sequence

from mpc.costs import FREE, WORD_BYTES, Cost, bits_to_arithmetic, negative_bits, reshare
from mpc.relational.costs import (
    Keys,
    disclose_order,
    equal_words,
    marked_first,
    masked_numbers,
    masked_words,
    packed_bytes,
    partition_places,
    place_bytes,
    shuffle,
    sorted_runs,
    widths_of,
)
from mpc.relational.selection import Place, carried_shares, distance_dtype
from mpc.relational.windows import PARTITION_BOUNDS, PEER_BOUNDS, WindowFunction, window_terms


def carry(count: int, words: Sequence[int], numbers: Sequence[int]) -> Cost:
    """Carry columns of these word bytes forward or backward."""
    return masked_words(count, words) + masked_numbers(count, numbers) + _spread(count, [*words, *numbers])


def run_sums(count: int, widths: Sequence[int], terms: Sequence[int]) -> Cost:
    """Carry running sums of these word bytes, of which each term takes the one with its index."""
    return masked_numbers(count, widths) + _spread(count, widths, [widths[k] for k in terms])


def sort_windows(count: int, keys: Keys, order: Keys, widths: Sequence[int], *, filtered: bool) -> Cost:
    """Sort rows and columns by the keys of partitions and an order, and compare neighbours."""
    cost = sorted_runs(count, keys, [*keys, *order], widths, filtered=filtered)
    if order:
        cost += equal_words(count, widths_of(order)) + reshare(packed_bytes(count), 1)
    return cost


def window_columns(count: int, functions: Sequence[WindowFunction], widths: Sequence[int]) -> Cost:
    """Carry what the functions need of numbers of these word bytes."""
    cost = FREE
    if any(function.measure == "peers" for function in functions):
        cost += bits_to_arithmetic(count)
    for bounds in (PARTITION_BOUNDS, PEER_BOUNDS):
        terms = [measure for measure, _ in window_terms(functions, bounds)]
        if terms:
            measures = list(dict.fromkeys(terms))
            carried = [widths[m] if isinstance(m, int) else WORD_BYTES for m in measures]
            cost += run_sums(count, carried, [measures.index(measure) for measure in terms])
    return cost


def group_select(
    count: int,
    keys: Keys,
    value: tuple[int, int],
    places: Sequence[Place],
    words: Sequence[int],
    numbers: Sequence[int],
    *,
    filtered: bool,
    countable: bool = False,
) -> Cost:
    """Sort, compare each row with each place, and bring its rows to the front, with columns of word bytes."""
    marks = [(1, 1)] if countable else []
    width = distance_dtype(count, places).itemsize
    cost = sorted_runs(count, keys, [*keys, *marks, value], [*words, *numbers], filtered=filtered)
    cost += bits_to_arithmetic(count, width) if countable else FREE
    cost += run_sums(count, [width], [0] * len(carried_shares(places))) + masked_words(count, widths_of(keys))
    answer = negative_bits(count, width) + reshare(packed_bytes(count), 1)
    answer += marked_first(count, [*words, *numbers, *widths_of([*keys, *marks])])
    answer += reshare(packed_bytes(count), 1) if countable else FREE
    answer += masked_words(count, words) + masked_numbers(count, numbers)
    for _ in places:
        cost += answer
    return cost


def _spread(count: int, widths: Sequence[int], back: Sequence[int] | None = None) -> Cost:
    """Bring marked rows together, and take columns back to all rows: as many, unless others are named."""
    places = bits_to_arithmetic(count, place_bytes(count)) + partition_places(count)
    return places + disclose_order(count, widths) + shuffle(count, widths if back is None else back)
