"""Dividing shared integers: the exact quotient, by schoolbook division in hexadecimal digits.

Meant for columns as long as a result has groups. Each digit compares the rest with all multiples of the
shifted divisor at once, so that rounds, not bytes, are saved.
"""

from __future__ import annotations

import numpy as np

from mpc.comparison import is_negative
from mpc.conversion import negate
from mpc.multiplication import multiply
from mpc.party import Party
from mpc.sharing import Arithmetic
from records.errors import InputError

_DIGIT_BITS = 4


def divide(party: Party, x: Arithmetic, divisor: Arithmetic, quotient_bits: int) -> Arithmetic:
    """Return ⌊x / divisor⌋ for x and divisors of one shape.

    For 0 ≤ x < 2^(k−2), 0 < divisor < 2^(k−2−quotient_bits) and quotients below 2^quotient_bits. Where the
    divisor is 0, and x is in range, the result is 2^quotient_bits − 1; elsewhere outside it is unspecified.
    Nobody learns which it was: compare first, if it is not certain.

    Raises:
        InputError: the shapes or rings differ, or `quotient_bits` is outside [1, k − 3].
    """
    width = 8 * x.dtype.itemsize
    if x.shape != divisor.shape or x.dtype != divisor.dtype:
        raise InputError("dividend and divisor have one shape and one ring")
    if not 1 <= quotient_bits <= width - 3:
        raise InputError(f"a quotient of a column of {width} bits has 1 to {width - 3} bits")
    rest, quotient = x, x * 0
    shift = quotient_bits
    for digit_bits in digits(quotient_bits):
        shift -= digit_bits
        step = divisor * (1 << shift)
        multiples = np.arange(1, 1 << digit_bits, dtype=x.dtype).reshape(-1, *[1] * len(x.shape))
        candidates = step.reshape(1, *step.shape) * multiples
        below = is_negative(party, rest.reshape(1, *rest.shape) - candidates)
        digit = negate(party, below).sum(axis=0)
        rest = rest - multiply(party, digit, step, "divide")
        quotient = quotient + digit * (1 << shift)
    return quotient


def digits(quotient_bits: int) -> list[int]:
    """Return the bits of each digit of a quotient, the highest first: four, but the first may have less."""
    first = quotient_bits % _DIGIT_BITS
    return [first] * (first > 0) + [_DIGIT_BITS] * (quotient_bits // _DIGIT_BITS)
