"""Entering values and multiplying shares; one code for both rings (a product of Boolean shares is AND).

Each function is run by all three parties. Costs stand in `mpc/costs.py`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mpc.party import Party
from mpc.prg import Shape, Words
from mpc.sharing import WORD, Arithmetic, Boolean, Shared, encode
from records.errors import InputError

S = TypeVar("S", bound=Shared)


def public(party: Party, kind: type[S], words: Words) -> S:
    """Return shares (c, 0, 0) of words that everyone knows. No message."""
    zeros = np.zeros_like(words)
    return kind(words if party.index == 0 else zeros, words if party.index == 2 else zeros)


def constant(party: Party, value: int, shape: Shape) -> Arithmetic:
    """Return shares of one public integer at every place. No message."""
    return public(party, Arithmetic, np.full(shape, value % (1 << 64), dtype=WORD))


def share_input(party: Party, values: npt.ArrayLike | None, owner: int, shape: Shape) -> Arithmetic:
    """Share integers that party `owner` knows; the others pass `None`.

    Raises:
        InputError: the owner has no values or values of another shape, or another party has some.
    """
    return share_words(party, Arithmetic, None if values is None else encode(values), owner, shape)


def share_words(
    party: Party, kind: type[S], words: Words | None, owner: int, shape: Shape, dtype: np.dtype[Any] = WORD
) -> S:
    """Share words of party j = `owner` as s_j = F(k_j), s_{j+1} = v − s_j, s_{j+2} = 0: one message.

    Raises:
        InputError: the owner has no words or words of another shape, or another party has some.
    """
    if (words is not None) != (party.index == owner) or (words is not None and words.shape != shape):
        raise InputError(f"the values of party {owner} must come from it alone, in the announced shape")
    zeros = np.zeros(shape, dtype=dtype)
    if words is not None:
        mask = party.stream(party.previous, "input").words(shape, dtype)
        masked: Words = kind.subtract(words, mask)
        party.exchange("input", {party.next: masked}, {})
        return kind(mask, masked)
    if party.previous == owner:
        return kind(party.exchange("input", {}, {owner: (shape, dtype)})[owner], zeros)
    party.exchange("input", {}, {})
    return kind(zeros, party.stream(party.next, "input").words(shape, dtype))


def summand(party: Party, x: Shared) -> Words:
    """Return what this party knows of x = v + w: v = x0 + x1 at party 0, w = x2 at parties 1 and 2."""
    words: Words = x.add(x.own, x.next) if party.index == 0 else x.next if party.index == 1 else x.own
    return words


def share_summands(party: Party, kind: type[S], words: Words) -> tuple[S, S]:
    """Share v, which party 0 passes, and w, which parties 1 and 2 pass: one message for v, none for w."""
    v = share_words(party, kind, words if party.index == 0 else None, 0, words.shape, words.dtype)
    zeros = np.zeros_like(words)
    return v, kind(words if party.index == 2 else zeros, words if party.index == 1 else zeros)


def cross_terms(x: S, y: S) -> Words:
    """Return this party's additive part x_i(y_i + y_{i+1}) + x_{i+1}y_i of x·y (Araki et al., 3.1)."""
    kind = type(x)
    first = kind.product(x.own, kind.add(y.own, y.next))
    words: Words = kind.add(first, kind.product(x.next, y.own))
    return words


def matrix_cross_terms(x: Arithmetic, y: Arithmetic) -> Words:
    """Return this party's additive part of the matrix product of (n, k) and (k, m)."""
    words: Words = x.own @ (y.own + y.next) + x.next @ y.own
    return words


def reshare(party: Party, kind: type[S], part: Words) -> S:
    """Turn additive parts z_0 + z_1 + z_2 into fresh replicated shares: mask with zero, pass on."""
    masked: Words = kind.add(part, party.zero_share(kind, part.shape, part.dtype))
    received = party.exchange("reshare", {party.previous: masked}, {party.next: (masked.shape, masked.dtype)})
    return kind(masked, received[party.next])


def reshare_pair(party: Party, kind: type[S], part: Words, absent: int) -> S:
    """Turn additive parts into replicated shares where the part of party a = `absent` is zero.

    z_a = F(k_a) and z_{a+1} = F(k_{a+1}) are drawn; the other two exchange their parts less the mask that
    each knows, and z_{a+2} is the sum of both: two messages instead of three.
    """
    if party.index == absent:
        own = party.stream(party.previous, "reshare").words(part.shape, part.dtype)
        following = party.stream(party.next, "reshare").words(part.shape, part.dtype)
        party.exchange("reshare-pair", {}, {})
        return kind(own, following)
    peer = 3 - absent - party.index
    mask = party.stream(absent, "reshare").words(part.shape, part.dtype)
    masked: Words = kind.subtract(part, mask)
    received = party.exchange("reshare-pair", {peer: masked}, {peer: (part.shape, part.dtype)})[peer]
    total: Words = kind.add(masked, received)
    return kind(mask, total) if party.previous == absent else kind(total, mask)


def multiply_summands(party: Party, v: S, w: S) -> S:
    """Multiply the results of `share_summands`: party 0 has no term of v·w, so two messages suffice."""
    return reshare_pair(party, type(v), cross_terms(v, w), absent=0)


def multiply(party: Party, x: S, y: S) -> S:
    """Return x·y element by element, with fresh shares; shapes broadcast as in NumPy."""
    return reshare(party, type(x), cross_terms(x, y))


def and_(party: Party, x: Boolean, y: Boolean) -> Boolean:
    """Return x AND y bit by bit."""
    return multiply(party, x, y)


def matmul(party: Party, x: Arithmetic, y: Arithmetic) -> Arithmetic:
    """Return the matrix product of (n, k) and (k, m); the bytes do not depend on k."""
    return reshare(party, Arithmetic, matrix_cross_terms(x, y))
