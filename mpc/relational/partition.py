"""Counting sort of rows by secret marks: shared places from running counts, without a comparison.

A place is a product of marks and counts of marks, and counts are sums: local. So a stable partition costs
one product a row (Hamada, Ikarashi, Chida and Takahashi, ePrint 2014/121; Chida et al., ePrint 2019/695).
"""

from __future__ import annotations

from mpc.conversion import bits_to_arithmetic
from mpc.multiplication import reshare
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.kernels import rank_terms
from mpc.relational.permutation import place_dtype
from mpc.sharing import Arithmetic, Boolean


def partition_places(party: Party, marks: Arithmetic) -> Arithmetic:
    """Return each row's place (n,) if the marked rows go behind the others, and keep their order.

    `marks` are shares of 0 and 1, (n,), in words of `place_dtype`. One round; nothing is opened.
    """
    return reshare(party, Arithmetic, rank_parts(party, marks.reshape(1, marks.size)), "rank")


def marks_of(party: Party, packed: Boolean, count: int) -> Arithmetic:
    """Return packed bits as marks: shares of 0 and 1 in the words of places, (n,)."""
    return bits_to_arithmetic(party, packed, count, place_dtype(count))


def rank_parts(party: Party, marks: Arithmetic) -> Words:
    """Return this party's additive parts of each row's place, (n,); see `relational_kernels.rank_terms`.

    `marks` are shares (k, n), k = 1 or 3, of 0 and 1, at most one of which is 1 in a row: row j of them marks
    digit j + 1. The parts are not masked: reshare them, or fold them into a shuffle. No message.
    """
    return rank_terms(marks.own, marks.next, (int(party.index == 0), int(party.index == 2)))
