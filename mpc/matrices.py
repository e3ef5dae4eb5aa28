"""Products of integer matrices in a ring, for which NumPy alone has no fast routine. Local."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpc.acceleration import compiled_kernels
from mpc.prg import Words

_NARROW = 32
_SMALL_PRODUCT = 1 << 18
_EXACT_INNER = 2048


def matrix_product(x: Words, y: Words) -> Words:
    """Return the product of (n, k) and (k, m) in their ring."""
    rows, inner, columns = *x.shape, y.shape[1]
    if min(rows, inner, columns) <= _NARROW or x.size * columns < _SMALL_PRODUCT:
        product: Words = x @ y
        return product
    if compiled := compiled_kernels(x.size * columns):
        out = np.empty((rows, columns), x.dtype)
        compiled.matrix_product(np.ascontiguousarray(x), np.ascontiguousarray(y), out)
        return out
    return _limb_product(x, y)


def _limb_product(x: Words, y: Words) -> Words:
    """Multiply by six products of floating-point matrices, in which every sum is exact.

    Words are cut into signed digits of 22, 22 and 20 bits, of magnitude at most 2^21: `_EXACT_INNER`
    products of two sum up to 2^53 at most. Digits whose weights multiply to 2^64 or more do not count.
    """
    total = np.zeros((x.shape[0], y.shape[1]), np.int64)
    for start in range(0, x.shape[1], _EXACT_INNER):
        left = _digits(x[:, start : start + _EXACT_INNER])
        right = _digits(y[start : start + _EXACT_INNER])
        for i in range(3):
            for j in range(3 - i):
                total += (left[i] @ right[j]).astype(np.int64) << 22 * (i + j)
    return total.view(np.uint64).astype(x.dtype)


def _digits(words: Words) -> list[npt.NDArray[np.float64]]:
    rest = words.astype(np.uint64).view(np.int64)
    digits = []
    for _ in range(2):
        digit = ((rest + (1 << 21)) & ((1 << 22) - 1)) - (1 << 21)
        digits.append(digit.astype(np.float64))
        rest = (rest - digit) >> 22
    digits.append(rest.astype(np.float64))
    return digits
