"""Entering values and multiplying shares; one code for both rings (a product of Boolean shares is AND).

Each function is run by all three parties. Messages are computed in runs, each sent before the next is
computed. Costs stand in `mpc/costs.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from mpc import kernels
from mpc.matrices import matrix_product
from mpc.party import Party
from mpc.prg import Shape, Words
from mpc.sharing import WORD, Arithmetic, Boolean, Shared, encode, require_one_ring
from records.errors import InputError

S = TypeVar("S", bound=Shared)
Masked: TypeAlias = Callable[[slice, Words, Words, Words], None]
"""(run, plus, minus, out): writes into `out` the run of this party's additive part + plus − minus."""
MaskedPair: TypeAlias = Callable[[slice, Words, Words], None]
"""(run, minus, out): writes into `out` the run of this party's additive part − minus."""


def public(party: Party, kind: type[S], words: Words) -> S:
    """Return shares (c, 0, 0) of words that everyone knows. No message."""
    zeros = np.zeros_like(words)
    return kind(words if party.index == 0 else zeros, words if party.index == 2 else zeros)


def constant(party: Party, value: int, shape: Shape, dtype: np.dtype[Any] = WORD) -> Arithmetic:
    """Return shares of one public integer, taken into the ring, at every place. No message."""
    return public(party, Arithmetic, np.full(shape, value % (1 << 8 * dtype.itemsize), dtype=dtype))


def share_input(
    party: Party, values: npt.ArrayLike | None, owner: int, shape: Shape, dtype: np.dtype[Any] = WORD
) -> Arithmetic:
    """Share integers that party `owner` knows; the others pass `None`.

    Raises:
        InputError: the owner has no values, values of another shape or that do not fit into the word, or
            another party has some.
    """
    words = None if values is None else encode(values, dtype)
    return share_words(party, Arithmetic, words, owner, shape, dtype)


def share_words(
    party: Party, kind: type[S], words: Words | None, owner: int, shape: Shape, dtype: np.dtype[Any] = WORD
) -> S:
    """Share words of party j = `owner` as s_j = F(k_j), s_{j+1} = v − s_j, s_{j+2} = 0: one message.

    Raises:
        InputError: the owner has no words, words of another shape or width, or another party has some.
    """
    if (words is not None) != (party.index == owner) or (
        words is not None and (words.shape, words.dtype) != (shape, dtype)
    ):
        raise InputError(f"the values of party {owner} must come from it alone, in the announced shape")
    return _enter(party, kind, np.zeros(shape, dtype) if words is None else words, owner)


def summand(party: Party, x: Shared) -> Words:
    """Return what this party knows of x = v + w: v = x0 + x1 at party 0, w = x2 at parties 1 and 2."""
    words: Words = x.add(x.own, x.next) if party.index == 0 else x.next if party.index == 1 else x.own
    return words


def join_summands(party: Party, kind: type[S], words: Words) -> S:
    """Return v + w in a ring as shares (F(k_0), v − F(k_0), w): one message.

    Party 0 passes v; parties 1 and 2 pass w. So party 1 holds (v − F(k_0), w), and party 2 (w, F(k_0)):
    the product of its two shares is each one's additive part of v·w.
    """
    return _enter(party, kind, words, 0)


def _enter(party: Party, kind: type[S], words: Words, owner: int) -> S:
    """Mask the words of party j = `owner` with F(k_j); the third share is what the others pass."""
    if party.index == owner:
        mask, masked = np.empty_like(words, order="C"), np.empty_like(words, order="C")
        flat, flat_mask, flat_masked = words.reshape(-1), mask.reshape(-1), masked.reshape(-1)
        stream = party.stream(party.previous, "input")

        def produce(run: slice) -> None:
            flat_mask[run] = stream.words(flat[run].shape, words.dtype)
            kind.subtract(flat[run], flat_mask[run], out=flat_masked[run])

        party.exchange("input", {party.next: masked}, {}, produce)
        return kind(mask, masked)
    if party.previous == owner:
        return kind(party.exchange("input", {}, {owner: (words.shape, words.dtype)})[owner], words)
    party.exchange("input", {}, {})
    return kind(words, party.stream(party.next, "input").words(words.shape, words.dtype))


def cross_terms(x: S, y: S) -> Words:
    """Return this party's additive part x_i(y_i + y_{i+1}) + x_{i+1}y_i of x·y (Araki et al., 3.1)."""
    kind = type(x)
    first = kind.product(x.own, kind.add(y.own, y.next))
    words: Words = kind.add(first, kind.product(x.next, y.own))
    return words


def matrix_cross_terms(x: Arithmetic, y: Arithmetic) -> Words:
    """Return this party's additive part of the matrix product of (n, k) and (k, m)."""
    left = np.concatenate([x.own, x.next], axis=1)
    right = np.concatenate([y.own + y.next, y.own])
    return matrix_product(left, right)


def reshare(party: Party, kind: type[S], part: Words, step: str = "reshare") -> S:
    """Turn additive parts z_0 + z_1 + z_2 into fresh replicated shares: mask with zero, pass on."""
    flat = part.reshape(-1)

    def compute(run: slice, plus: Words, minus: Words, out: Words) -> None:
        kind.subtract(kind.add(flat[run], plus, out=out), minus, out=out)

    return reshare_runs(party, kind, flat.size, part.dtype, compute, step).reshape(*part.shape)


def reshare_runs(
    party: Party, kind: type[S], count: int, dtype: np.dtype[Any], compute: Masked, step: str
) -> S:
    """Do as `reshare`, on `count` additive parts that are computed and masked run by run; shape (count,)."""
    own = np.empty(count, dtype)
    with_previous, with_next = party.stream(party.previous, "zero"), party.stream(party.next, "zero")

    def produce(run: slice) -> None:
        shape = own[run].shape
        compute(run, with_previous.words(shape, dtype), with_next.words(shape, dtype), own[run])

    received = party.exchange(step, {party.previous: own}, {party.next: (own.shape, dtype)}, produce)
    return kind(own, received[party.next])


def reshare_pair(party: Party, kind: type[S], part: Words, absent: int, step: str = "reshare") -> S:
    """Turn additive parts into replicated shares where the part of party a = `absent` is zero.

    z_a = F(k_a) and z_{a+1} = F(k_{a+1}) are drawn; the other two exchange their parts less the mask that
    each knows, and z_{a+2} is the sum of both: two messages instead of three.
    """
    flat = part.reshape(-1)

    def compute(run: slice, minus: Words, out: Words) -> None:
        kind.subtract(flat[run], minus, out=out)

    return reshare_pair_runs(party, kind, flat.size, part.dtype, compute, absent, step).reshape(*part.shape)


def reshare_pair_runs(
    party: Party, kind: type[S], count: int, dtype: np.dtype[Any], compute: MaskedPair, absent: int, step: str
) -> S:
    """Do as `reshare_pair`, on `count` additive parts that are computed and masked run by run."""
    if party.index == absent:
        own = party.stream(party.previous, "reshare").words((count,), dtype)
        following = party.stream(party.next, "reshare").words((count,), dtype)
        party.exchange(step, {}, {})
        return kind(own, following)
    peer = 3 - absent - party.index
    mask, masked = np.empty(count, dtype), np.empty(count, dtype)
    stream = party.stream(absent, "reshare")

    def produce(run: slice) -> None:
        mask[run] = stream.words(mask[run].shape, dtype)
        compute(run, mask[run], masked[run])

    received = party.exchange(step, {peer: masked}, {peer: (masked.shape, dtype)}, produce)[peer]
    total: Words = kind.add(masked, received, out=received)
    return kind(mask, total) if party.previous == absent else kind(total, mask)


def multiply(party: Party, x: S, y: S, step: str = "multiply") -> S:
    """Return x·y element by element, with fresh shares; shapes broadcast as in NumPy.

    Raises:
        InputError: the factors are shared in different rings.
    """
    require_one_ring(x, y)
    if x.shape != y.shape:
        return reshare(party, type(x), cross_terms(x, y), step)
    flat_x, flat_y = x.flat(), y.flat()
    terms = kernels.and_terms if isinstance(x, Boolean) else kernels.product_terms

    def compute(run: slice, plus: Words, minus: Words, out: Words) -> None:
        terms(flat_x.own[run], flat_x.next[run], flat_y.own[run], flat_y.next[run], plus, minus, out)

    return reshare_runs(party, type(x), x.size, x.dtype, compute, step).reshape(*x.shape)


def and_(party: Party, x: Boolean, y: Boolean) -> Boolean:
    """Return x AND y bit by bit."""
    return multiply(party, x, y, "and")


def dot(party: Party, x: Arithmetic, y: Arithmetic) -> Arithmetic:
    """Return the inner products along the last axis of (…, k) and (…, k); the bytes do not depend on k.

    At least one axis remains: shape (…).

    Raises:
        InputError: the factors are shared in different rings, or have one axis only.
    """
    require_one_ring(x, y)
    if len(x.shape) < 2:
        raise InputError("an inner product runs along the last of at least two axes")
    return reshare(party, Arithmetic, cross_terms(x, y).sum(axis=-1, dtype=x.dtype), "dot")


def matmul(party: Party, x: Arithmetic, y: Arithmetic) -> Arithmetic:
    """Return the matrix product of (n, k) and (k, m); the bytes do not depend on k.

    Raises:
        InputError: the factors are shared in different rings.
    """
    require_one_ring(x, y)
    return reshare(party, Arithmetic, matrix_cross_terms(x, y), "matmul")
