"""The kernels of `mpc/relational/kernels.py` as loops, compiled by numba; results are the same bit for bit.

Imported only for long columns; see `mpc/acceleration.py`.
"""

from __future__ import annotations

import numpy as np

from mpc.compiled import kernel
from mpc.prg import Words

_LOW = np.uint64(0xFFFFFFFF)
_HIGH = np.uint64(32)
_ONE = np.uint64(1)
_BOUND = np.uint64(1 << 32)


@kernel
def lemire_targets(words: Words, places: Words, targets: Words, rejected: Words) -> int:
    count = 0
    for k in range(words.size):
        bound = np.uint64(places[k]) + _ONE
        product = np.uint64(words[k]) * bound
        targets[k] = product >> _HIGH
        low = product & _LOW
        if low < bound and low < _BOUND % bound:
            rejected[count] = k
            count += 1
    return count


@kernel
def swapped(targets: Words, sizes: Words, order: Words) -> None:
    start = 0
    for size in sizes:
        for place in range(start, start + size):
            target = start + targets[place]
            order[place] = order[target]
            order[target] = place
        start += size


@kernel
def is_permutation(order: Words, seen: Words) -> bool:
    for row in order:
        if row >= order.size or seen[row]:
            return False
        seen[row] = True
    return True


@kernel
def gathered(words: Words, order: Words, out: Words) -> None:
    for place in range(out.size):
        out[place] = words[order[place]]


@kernel
def scattered(words: Words, order: Words, out: Words) -> None:
    for place in range(out.size):
        out[order[place]] = words[place]


@kernel
def dealt(words: Words, digits: Words, heads: Words, out: Words) -> None:
    for row in range(out.size):
        digit = digits[row]
        out[heads[digit]] = words[row]
        heads[digit] += 1


@kernel
def collected(words: Words, digits: Words, heads: Words, out: Words) -> None:
    for row in range(out.size):
        digit = digits[row]
        out[row] = words[heads[digit]]
        heads[digit] += 1


@kernel
def rank_terms_of_one(own: Words, following: Words, start: Words, one: Words, out: Words) -> None:
    a_own, a_next, b_own, b_next = start[0, 0], start[1, 0], start[0, 1], start[1, 1]
    for row in range(out.size):
        b0, b1 = own[0, row], following[0, row]
        a0, a1 = one[0] - b0, one[1] - b1
        out[row] = a0 * (a_own + a_next) + a1 * a_own + b0 * (b_own + b_next) + b1 * b_own
        a_own += a0
        a_next += a1
        b_own += b0
        b_next += b1


@kernel
def rank_terms_of_three(own: Words, following: Words, start: Words, one: Words, out: Words) -> None:
    a_own, b_own, c_own, d_own = start[0, 0], start[0, 1], start[0, 2], start[0, 3]
    a_next, b_next, c_next, d_next = start[1, 0], start[1, 1], start[1, 2], start[1, 3]
    for row in range(out.size):
        b0, c0, d0 = own[0, row], own[1, row], own[2, row]
        b1, c1, d1 = following[0, row], following[1, row], following[2, row]
        a0, a1 = one[0] - b0 - c0 - d0, one[1] - b1 - c1 - d1
        place = a0 * (a_own + a_next) + a1 * a_own + b0 * (b_own + b_next) + b1 * b_own
        out[row] = place + c0 * (c_own + c_next) + c1 * c_own + d0 * (d_own + d_next) + d1 * d_own
        a_own += a0
        b_own += b0
        c_own += c0
        d_own += d0
        a_next += a1
        b_next += b1
        c_next += c1
        d_next += d1
