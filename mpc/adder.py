"""Adding shared words of bits: the carries into every position, by a parallel prefix tree.

Sklansky's tree (IRE Transactions on Electronic Computers, 1960): at distance s = 1, 2, 4, … the upper half
of each block of 2s positions meets the last position of its lower half. Half of the positions change, so
both products of a level fit into one word. Used where all bits of a sum are needed; the sign alone is
cheaper by `mpc/comparison.py`.
"""

from __future__ import annotations

import numpy as np

from mpc import kernels
from mpc.multiplication import and_, reshare_pair_runs, reshare_runs
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import Boolean


def add_bits(party: Party, x: Boolean, y: Boolean) -> Boolean:
    """Return x + y modulo 2^k of words (n,) of k bits."""
    return _sum(party, and_(party, x, y), x ^ y)


def add_summands(party: Party, propagate: Boolean) -> Boolean:
    """Return v + w modulo 2^k of words (n,), from the shares of v ⊕ w that `join_summands` returns."""
    return _sum(party, generate_bits(party, propagate), propagate)


def generate_bits(party: Party, propagate: Boolean) -> Boolean:
    """Return v AND w, from the shares of v ⊕ w that `join_summands` returns: party 0 has no term of it."""

    def compute(run: slice, minus: Words, out: Words) -> None:
        kernels.pair_and_terms(propagate.own[run], propagate.next[run], minus, out)

    return reshare_pair_runs(party, Boolean, propagate.size, propagate.dtype, compute, 0, "generate")


def _sum(party: Party, generate: Boolean, propagate: Boolean) -> Boolean:
    bits = 8 * propagate.dtype.itemsize
    carried, reached = generate.map(np.copy), propagate.map(np.copy)
    distance = 1
    while distance < bits:
        products = _meet(party, carried, reached, distance)
        kernels.prefix_update(products.own, distance, carried.own, reached.own)
        kernels.prefix_update(products.next, distance, carried.next, reached.next)
        distance *= 2
    return propagate ^ carried.map(lambda words: words << 1)


def _meet(party: Party, carried: Boolean, reached: Boolean, distance: int) -> Boolean:
    """Do one round: the products of the upper halves with P and with G; in the last only those with G."""
    width = reached.dtype.itemsize
    last = distance == 4 * width
    dtype = np.dtype(f"u{max(1, width // 2)}") if last else reached.dtype

    def compute(run: slice, plus: Words, minus: Words, out: Words) -> None:
        g, p = carried[run], reached[run]
        kernels.prefix_terms(g.own, g.next, p.own, p.next, distance, plus, minus, out)

    return reshare_runs(party, Boolean, reached.size, dtype, compute, "carry")
