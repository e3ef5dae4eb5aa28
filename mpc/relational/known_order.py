"""Moving shared columns by an order that one party knows and the others must not learn."""

from __future__ import annotations

import numpy as np

from mpc.multiplication import reshare_pair
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.permutation import inverse, random_permutation, require_permutation
from mpc.sharing import WORD32, Arithmetic
from records.errors import InputError


def move_by_known(party: Party, table: Arithmetic, order: Words | None, knower: int) -> Arithmetic:
    """Return columns (c, n) with row `order[i]` in place i; only party h = `knower` passes the order.

    Two rounds, 4 bytes a row and three words an element. Party h splits the order in two: σ, uniform, from
    its stream with party h + 2, and the rest τ, with order = σ then τ, which it sends to party h + 1. It
    permutes x_h + x_{h+1} itself. Party h + 2 permutes x_{h+2} by σ, masks it with words that it shares
    with party h, and passes it to party h + 1, which permutes it by τ. Each of the two knows one of two
    uniform factors, so that neither learns anything about the order.

    Raises:
        InputError: the knower has no order of the rows, or another party has one.
        EvidenceError: the knower sent no permutation.
    """
    columns, count = table.shape
    if (order is not None) != (party.index == knower) or (order is not None and order.shape != (count,)):
        raise InputError(f"the order must come from party {knower} alone, a row number for each place")
    middle, last = (knower + 1) % 3, (knower + 2) % 3
    if order is not None:
        first = random_permutation(party.stream(last, "permutation"), count).rows
        mask = party.stream(last, "mask").words(table.shape, table.dtype)
        rest = inverse(first)[order]
        party.exchange("known order", {middle: rest}, {})
        part = (table.own + table.next)[:, order] - mask[:, rest]
    elif party.index == middle:
        received = party.exchange(
            "known order", {}, {knower: ((count,), WORD32), last: ((columns, count), table.dtype)}
        )
        rest = received[knower]
        require_permutation(rest)
        part = received[last][:, rest]
    else:
        first = random_permutation(party.stream(knower, "permutation"), count).rows
        mask = party.stream(knower, "mask").words(table.shape, table.dtype)
        party.exchange("known order", {middle: table.own[:, first] + mask}, {})
        part = np.zeros_like(table.own)
    return reshare_pair(party, Arithmetic, part, absent=last)
