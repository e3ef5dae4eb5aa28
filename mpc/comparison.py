"""Comparing shared integers, read as signed: sign, order, equality.

A shared x is the sum of v = x0 + x1, which party 0 knows, and w = x2, which parties 1 and 2 know. The sign
is the top bit of v + w: the carry out of the lower bits by a tree of generate/propagate pairs. x is zero if
v and −w agree in every bit: a tree of ANDs. Both trees have one level for each bit of an index into a word.

`…_bits` return the answers as packed bits, shape (⌈n/8⌉,) for any shape of n elements in C order; the bits
after the last are 0. The others return shares of 0 and 1, in the ring of the operand unless
`dtype` names another, at the further cost of `bits_to_arithmetic`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mpc import kernels
from mpc.adder import generate_bits
from mpc.bits import planes, reverse_indices
from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import constant, join_summands, multiply, reshare_runs, summand
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import Arithmetic, Boolean, concatenate, require_one_ring
from records.errors import InputError

BATCH = 1 << 20
"""Longer columns are compared in batches, one after the other: memory stays bounded. A multiple of 8."""


def is_negative(party: Party, x: Arithmetic, *, dtype: np.dtype[Any] | None = None) -> Arithmetic:
    """Return 1 where x < 0, for every x."""
    return _as_numbers(party, negative_bits(party, x), x, dtype)


def less_than(
    party: Party,
    x: Arithmetic,
    y: Arithmetic,
    *,
    full_range: bool = True,
    dtype: np.dtype[Any] | None = None,
) -> Arithmetic:
    """Return 1 where x < y; see `less_than_bits` for `full_range`."""
    return _as_numbers(party, less_than_bits(party, x, y, full_range=full_range), x, dtype)


def at_least(
    party: Party, x: Arithmetic, threshold: int, *, dtype: np.dtype[Any] | None = None
) -> Arithmetic:
    """Return 1 where x ≥ `threshold`, for x in [0, 2^(k−1)): counts and sums of counts.

    Raises:
        InputError: the threshold is outside [0, 2^(k−1)).
    """
    bits = 8 * x.dtype.itemsize
    if not 0 <= threshold < 1 << bits - 1:
        raise InputError(f"a public threshold lies in [0, 2^{bits - 1})")
    below = is_negative(party, x - constant(party, threshold, x.shape, x.dtype), dtype=dtype)
    return constant(party, 1, x.shape, below.dtype) - below


def equal_zero(party: Party, x: Arithmetic, *, dtype: np.dtype[Any] | None = None) -> Arithmetic:
    """Return 1 where x = 0."""
    return _as_numbers(party, zero_bits(party, x), x, dtype)


def equal(party: Party, x: Arithmetic, y: Arithmetic, *, dtype: np.dtype[Any] | None = None) -> Arithmetic:
    """Return 1 where x = y."""
    return _as_numbers(party, equal_bits(party, x, y), x, dtype)


def negative_bits(party: Party, x: Arithmetic) -> Boolean:
    """Return the bits (x < 0), packed."""
    return sign_of_summands(party, summand(party, x).reshape(-1))


def sign_of_summands(party: Party, known: Words) -> Boolean:
    """Return the bits (v + w < 0), packed, of columns (n,): party 0 passes v, parties 1 and 2 pass w."""
    return _in_batches(_negative, party, known)


def less_than_bits(party: Party, x: Arithmetic, y: Arithmetic, *, full_range: bool = True) -> Boolean:
    """Return the bits (x < y), packed.

    With `full_range` they are right for all x and y, at three times the cost: where the signs differ, x's
    sign decides. Without it x − y must not leave the signed range, which holds if both lie in
    [−2^(k−2), 2^(k−2)): then the sign of the difference decides.

    Raises:
        InputError: x and y are of different rings or shapes.
    """
    _require_one_shape(x, y)
    known_x, known_y = (summand(party, operand).reshape(-1) for operand in (x, y))
    if not full_range:
        return sign_of_summands(party, known_x - known_y)
    padding = np.zeros(-x.size % 8, dtype=x.dtype)
    operands = (known_x, padding, known_y, padding, known_x - known_y, padding)
    packed = sign_of_summands(party, np.concatenate(operands))
    sign_x, sign_y, sign_difference = (_third(packed, k) for k in range(3))
    overflown = multiply(party, sign_x ^ sign_y, sign_x ^ sign_difference, "overflow")
    return sign_difference ^ overflown


def zero_bits(party: Party, x: Arithmetic) -> Boolean:
    """Return the bits (x = 0), packed."""
    return _in_batches(_zero, party, summand(party, x).reshape(-1))


def equal_bits(party: Party, x: Arithmetic, y: Arithmetic) -> Boolean:
    """Return the bits (x = y), packed.

    Raises:
        InputError: x and y are of different rings or shapes.
    """
    _require_one_shape(x, y)
    return _in_batches(_zero, party, (summand(party, x) - summand(party, y)).reshape(-1))


def all_ones_bits(party: Party, words: Boolean) -> Boolean:
    """Return, packed, which of the words (n,) have all their bits set."""
    state = words
    while state.dtype.itemsize > 1:
        state = _level(party, kernels.fold_terms, state, "fold")
    state = state.map(planes)
    while state.dtype.itemsize > 1:
        state = _level(party, kernels.fold_terms, state, "fold")
    return state


def _negative(party: Party, known: Words) -> Boolean:
    """Take the sign of v + w, of which `known` is this party's summand."""
    propagate = join_summands(party, Boolean, reverse_indices(known))
    return sign_bits(party, generate_bits(party, propagate), propagate)


def sign_bits(party: Party, generate: Boolean, propagate: Boolean) -> Boolean:
    """Return, packed, the top bits of the sums x + y of words (n,), from x AND y and x ⊕ y: a carry tree.

    Their bits come as `reverse_indices` lays them out, so that neighbours meet by halving; see
    `kernels.first_carry_terms` for the top bit.
    """
    one = (1, 0, 2)[party.index]  # the shares of a public 1 are (1, 0, 0)

    def first_terms(run: slice, plus: Words, minus: Words, out: Words) -> None:
        words = (generate.own[run], generate.next[run], propagate.own[run], propagate.next[run])
        kernels.first_carry_terms(*words, one, plus, minus, out)

    state = reshare_runs(party, Boolean, generate.size, generate.dtype, first_terms, "carry")
    while state.dtype.itemsize > 1:
        state = _level(party, kernels.carry_terms, state, "carry")
    state = _level(party, kernels.carry_terms, state.map(planes), "carry")
    return _level(party, kernels.last_carry_terms, state, "carry", narrowing=4)


def _zero(party: Party, known: Words) -> Boolean:
    """Run the AND tree over the bits in which v and −w agree: those of v ⊕ (w − 1), since −w = ¬(w − 1)."""
    agreeing = known if party.index == 0 else known - known.dtype.type(1)
    return all_ones_bits(party, join_summands(party, Boolean, agreeing))


def _level(party: Party, terms: kernels.Terms, state: Boolean, step: str, narrowing: int = 2) -> Boolean:
    """Do one round of a tree: AND within the words of a state; the result is `narrowing` times narrower."""

    def compute(run: slice, plus: Words, minus: Words, out: Words) -> None:
        terms(state.own[run], state.next[run], plus, minus, out)

    narrower = np.dtype(f"u{state.dtype.itemsize // narrowing}")
    return reshare_runs(party, Boolean, state.size, narrower, compute, step)


def _in_batches(tree: Callable[[Party, Words], Boolean], party: Party, known: Words) -> Boolean:
    starts = range(0, max(1, known.size), BATCH)
    return concatenate([tree(party, known[start : start + BATCH]) for start in starts])


def _as_numbers(party: Party, packed: Boolean, like: Arithmetic, dtype: np.dtype[Any] | None) -> Arithmetic:
    return bits_to_arithmetic(party, packed, like.size, dtype or like.dtype).reshape(*like.shape)


def _third(packed: Boolean, index: int) -> Boolean:
    length = packed.size // 3
    return packed[index * length : (index + 1) * length]


def _require_one_shape(x: Arithmetic, y: Arithmetic) -> None:
    require_one_ring(x, y)
    if x.shape != y.shape:
        raise InputError("the columns that are compared have one shape")
