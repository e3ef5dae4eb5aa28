"""The kernels of `mpc/kernels.py` in one pass over memory each, compiled by numba.

Imported only when a long run comes along: numba takes half a second to import, more than a small job takes.
Compiled code is kept on disk where there is a place for it. Everything is computed in 64-bit words and
cut off where it is stored. Results are bit for bit those of the NumPy kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from mpc.kernels import Swaps
from mpc.prg import Words

F = TypeVar("F", bound=Callable[..., Any])
_ONE = np.uint64(1)
_INNER = 128  # rows of the right factor that stay in the cache; a multiple of 4


def kernel(function: F) -> F:
    """Compile a function on its first call, once for each combination of word types."""
    try:
        compiled: Any = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the source folder nor the user's cache folder can be written
        compiled = numba.njit(nogil=True)(function)
    return cast("F", compiled)


@kernel
def product_terms(
    x_own: Words, x_next: Words, y_own: Words, y_next: Words, plus: Words, minus: Words, out: Words
) -> None:
    for i in range(out.size):
        out[i] = x_own[i] * (y_own[i] + y_next[i]) + x_next[i] * y_own[i] + plus[i] - minus[i]


@kernel
def and_terms(
    x_own: Words, x_next: Words, y_own: Words, y_next: Words, plus: Words, minus: Words, out: Words
) -> None:
    for i in range(out.size):
        out[i] = (x_own[i] & (y_own[i] ^ y_next[i])) ^ (x_next[i] & y_own[i]) ^ plus[i] ^ minus[i]


@kernel
def pair_and_terms(own: Words, following: Words, minus: Words, out: Words) -> None:
    for i in range(out.size):
        out[i] = (own[i] & following[i]) ^ minus[i]


@kernel
def bit_terms(entered: Words, q: Words, one: int, minus: Words, out: Words) -> None:
    for i in range(out.size):
        bit = np.uint64(q[i])
        out[i] = np.uint64(entered[i]) * (_ONE - bit - bit) + np.uint64(one) * bit - np.uint64(minus[i])


@kernel
def fold_terms(own: Words, following: Words, plus: Words, minus: Words, out: Words) -> None:
    shift = np.uint64(8 * out.itemsize)
    for i in range(out.size):
        a, b = np.uint64(own[i]), np.uint64(following[i])
        terms = ((a >> shift) & (a ^ b)) ^ ((b >> shift) & a)
        out[i] = terms ^ np.uint64(plus[i]) ^ np.uint64(minus[i])


@kernel
def _meet(g_own: Any, p_own: Any, g_next: Any, p_next: Any, half: Any) -> Any:
    low = (_ONE << half) - _ONE
    left_own, left_next = (p_own >> half) | (p_own & ~low), (p_next >> half) | (p_next & ~low)
    right_own, right_next = (g_own & low) | (p_own << half), (g_next & low) | (p_next << half)
    return (left_own & (right_own ^ right_next)) ^ (left_next & right_own) ^ (g_own >> half)


@kernel
def first_carry_terms(
    g_own: Words, g_next: Words, p_own: Words, p_next: Words, one: int, plus: Words, minus: Words, out: Words
) -> None:
    half = np.uint64(4 * out.itemsize)
    position = np.uint64(8 * out.itemsize - 1)
    top = _ONE << position
    one_own, one_next = (np.uint64(one) & _ONE) << position, (np.uint64(one) >> _ONE) << position
    for i in range(out.size):
        p, q = np.uint64(p_own[i]), np.uint64(p_next[i])
        g = (np.uint64(g_own[i]) & ~top) | (p & top)
        h = (np.uint64(g_next[i]) & ~top) | (q & top)
        terms = _meet(g, (p & ~top) | one_own, h, (q & ~top) | one_next, half)
        out[i] = terms ^ np.uint64(plus[i]) ^ np.uint64(minus[i])


@kernel
def carry_terms(own: Words, following: Words, plus: Words, minus: Words, out: Words) -> None:
    width, half = np.uint64(8 * out.itemsize), np.uint64(4 * out.itemsize)
    low = (_ONE << width) - _ONE
    for i in range(out.size):
        a, b = np.uint64(own[i]), np.uint64(following[i])
        terms = _meet(a & low, a >> width, b & low, b >> width, half)
        out[i] = terms ^ np.uint64(plus[i]) ^ np.uint64(minus[i])


@kernel
def last_carry_terms(own: Words, following: Words, plus: Words, minus: Words, out: Words) -> None:
    shift = np.uint64(8 * out.itemsize)
    third = np.uint64(3 * 8 * out.itemsize)
    for i in range(out.size):
        a, b = np.uint64(own[i]), np.uint64(following[i])
        terms = ((a >> third) & (a ^ b)) ^ ((b >> third) & a) ^ (a >> shift)
        out[i] = terms ^ np.uint64(plus[i]) ^ np.uint64(minus[i])


@kernel
def _blocks(distance: int, bits: int) -> Any:
    ones = np.uint64(0)
    for i in range(0, bits, 2 * distance):
        ones |= _ONE << np.uint64(i)
    return ones, ones * ((_ONE << np.uint64(distance)) - _ONE)


@kernel
def prefix_terms(
    g_own: Words,
    g_next: Words,
    p_own: Words,
    p_next: Words,
    distance: int,
    plus: Words,
    minus: Words,
    out: Words,
) -> None:
    ones, lower = _blocks(distance, 8 * p_own.itemsize)
    shift, last = np.uint64(distance), np.uint64(distance - 1)
    run = (_ONE << shift) - _ONE
    spread = run << shift
    for i in range(out.size):
        p, q = np.uint64(p_own[i]), np.uint64(p_next[i])
        left_own, left_next = p & ~lower, q & ~lower
        left_own, left_next = left_own | (left_own >> shift), left_next | (left_next >> shift)
        own = (((p >> last) & ones) * spread) | (((np.uint64(g_own[i]) >> last) & ones) * run)
        following = (((q >> last) & ones) * spread) | (((np.uint64(g_next[i]) >> last) & ones) * run)
        terms = (left_own & (own ^ following)) ^ (left_next & own)
        out[i] = terms ^ np.uint64(plus[i]) ^ np.uint64(minus[i])


@kernel
def prefix_update(products: Words, distance: int, generate: Words, propagate: Words) -> None:
    _, lower = _blocks(distance, 8 * propagate.itemsize)
    shift = np.uint64(distance)
    for i in range(propagate.size):
        product = np.uint64(products[i])
        generate[i] ^= (product & lower) << shift
        propagate[i] = (np.uint64(propagate[i]) & lower) | (product & ~lower)


@kernel
def delta_swaps(words: Words, swaps: Swaps, out: Words) -> None:
    (shift_0, mask_0), (shift_1, mask_1), (shift_2, mask_2) = swaps
    for i in range(out.size):
        word = np.uint64(words[i])
        differing = (word ^ (word >> shift_0)) & mask_0
        word = word ^ differing ^ (differing << shift_0)
        differing = (word ^ (word >> shift_1)) & mask_1
        word = word ^ differing ^ (differing << shift_1)
        differing = (word ^ (word >> shift_2)) & mask_2
        out[i] = word ^ differing ^ (differing << shift_2)


@kernel
def matrix_product(x: Words, y: Words, out: Words) -> None:
    rows, inner = x.shape
    out[:] = 0
    for start in range(0, inner, _INNER):
        stop = min(start + _INNER, inner)
        whole = stop // 4 * 4
        for i in range(rows):
            for k in range(start, whole, 4):
                a, b, c, d = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
                for j in range(out.shape[1]):
                    out[i, j] += a * y[k, j] + b * y[k + 1, j] + c * y[k + 2, j] + d * y[k + 3, j]
            for k in range(whole, stop):
                a = x[i, k]
                for j in range(out.shape[1]):
                    out[i, j] += a * y[k, j]
