"""What a party computes alone, row by row, in shuffles and sorts.

What stands here is NumPy; long columns go to the loops in `mpc/relational/compiled.py`, if there is numba.
"""

from __future__ import annotations

import types

import numpy as np

from mpc.acceleration import SHORT, compiled_kernels
from mpc.prg import Words
from mpc.sharing import WORD, WORD32


def lemire_targets(words: Words, places: Words) -> tuple[Words, Words]:
    """Return ⌊word · (i + 1) / 2^32⌋ for each place i, and which of them are biased and to be drawn again.

    Biased is where word · (i + 1) mod 2^32 < 2^32 mod (i + 1) (Lemire, ACM TOMACS 2019, Algorithm 5).
    Words and places are u32 of one shape (n,); the second result holds indices into it.
    """
    if loops := _loops(words.size):
        targets, rejected = np.empty_like(places), np.empty(places.shape, dtype=np.intp)
        return targets, rejected[: loops.lemire_targets(words, places, targets, rejected)]
    bounds = places.astype(WORD) + np.uint64(1)
    products = words * bounds
    low = products.astype(WORD32)
    # 2^32 mod (i + 1) is at most i: the slow division is left to the few that come so far.
    suspects = np.flatnonzero(low <= places)
    rejected = suspects[low[suspects] < np.uint64(1 << 32) % bounds[suspects]]
    return (products >> np.uint64(32)).astype(WORD32), rejected


def swapped(targets: Words, sizes: Words) -> Words:
    """Return the order after each place has swapped with an earlier one, or itself, of its bucket.

    Buckets of `sizes` follow one another; place i = 0, 1, … of a bucket swaps with place `targets[i]` ≤ i.
    """
    if loops := _loops(targets.size):
        order = np.empty_like(targets)
        loops.swapped(targets, sizes, order)
        return order
    rows = [0] * targets.size
    starts = np.repeat(_heads(sizes), sizes)
    for place, target in enumerate((starts + targets).tolist()):
        rows[place] = rows[target]
        rows[target] = place
    return np.array(rows, dtype=targets.dtype)


def is_permutation(order: Words) -> bool:
    """Return whether every row has its place in the order."""
    seen = np.zeros(order.size, dtype=np.bool_)
    if loops := _loops(order.size):
        return bool(loops.is_permutation(order, seen))
    seen[order[order < order.size]] = True
    return bool(seen.all())


def gathered(words: Words, order: Words) -> Words:
    """Return words (n,) with row `order[i]` in place i."""
    if loops := _loops(words.size):
        out = np.empty_like(words)
        loops.gathered(words, order, out)
        return out
    rows: Words = words[order]
    return rows


def scattered(words: Words, order: Words) -> Words:
    """Return words (n,) with row i in place `order[i]` of a permutation."""
    out = np.empty_like(words)
    if loops := _loops(words.size):
        loops.scattered(words, order, out)
    else:
        out[order] = words
    return out


def dealt(words: Words, digits: Words, sizes: Words) -> Words:
    """Return words (n,) dealt to buckets by digits (n,), each bucket in the order of rows.

    `sizes` has the number of rows with each digit. Memory is read and written along one line for each
    bucket, so that this stays in the cache where moves to any place do not.
    """
    if loops := _loops(words.size):
        out = np.empty_like(words)
        loops.dealt(words, digits, _heads(sizes), out)
        return out
    return gathered(words, np.argsort(digits, kind="stable"))


def collected(words: Words, digits: Words, sizes: Words) -> Words:
    """Return words (n,) as they were before they were `dealt`."""
    if loops := _loops(words.size):
        out = np.empty_like(words)
        loops.collected(words, digits, _heads(sizes), out)
        return out
    return scattered(words, np.argsort(digits, kind="stable"))


def rank_terms(own: Words, following: Words, one: tuple[int, int]) -> Words:
    """Return this party's additive parts of each row's place after a stable counting sort, (n,).

    `own` and `following` are its shares (k, n), k = 1 or 3, of 0/1 columns of which at most one is 1 in a
    row: column j marks digit j + 1, and the rest have digit 0. `one` are its shares of a public 1. A row's
    place is the number of rows with smaller digits, and of earlier rows with the same.
    """
    count = own.shape[1]
    totals = np.stack([shares.sum(axis=1, dtype=own.dtype) for shares in (own, following)])
    ones = np.array(one, dtype=own.dtype)
    zeros = ones * own.dtype.type(count % (1 << 8 * own.dtype.itemsize)) - totals.sum(axis=1, dtype=own.dtype)
    start = np.zeros((2, own.shape[0] + 1), dtype=own.dtype)
    start[:, 1:] = zeros[:, np.newaxis]
    start[:, 2:] += np.cumsum(totals, axis=1, dtype=own.dtype)[:, :-1]
    if loops := _loops(count):
        out = np.empty(count, dtype=own.dtype)
        loop = loops.rank_terms_of_one if own.shape[0] == 1 else loops.rank_terms_of_three
        loop(own, following, start, ones, out)
        return out
    out = np.zeros(count, dtype=own.dtype)
    unmarked = (
        shares_one - shares.sum(axis=0, dtype=own.dtype)
        for shares_one, shares in zip(ones, (own, following), strict=True)
    )
    for digit, (mark, mark_next) in enumerate([tuple(unmarked), *zip(own, following, strict=True)]):
        place, place_next = (
            start[side, digit] + np.cumsum(marks, dtype=own.dtype) - marks
            for side, marks in enumerate((mark, mark_next))
        )
        out += mark * (place + place_next) + mark_next * place
    return out


def _heads(sizes: Words) -> Words:
    heads: Words = np.cumsum(sizes) - sizes
    return heads


def _loops(count: int) -> types.ModuleType | None:
    if count < SHORT or compiled_kernels(count) is None:
        return None
    from mpc.relational import compiled

    return compiled
