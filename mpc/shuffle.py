"""One secret permutation over all columns (Chida et al., ePrint 2019/695, Algorithm 9).

Three permutations, each known to two parties, are composed: every party lacks one of them. Two rounds and
four words an element.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mpc.multiplication import reshare_pair
from mpc.party import Party
from mpc.prg import Shape, Words, WordStream
from mpc.sharing import WORD, Arithmetic, stack
from records.errors import InputError


def shuffle(party: Party, columns: Sequence[Arithmetic]) -> tuple[Arithmetic, ...]:
    """Permute columns (n,) by one uniform permutation that no party knows.

    Parties 0 and 1 permute (x0 + x1, x2) by a and mask it; party 0 passes its part to party 2. Parties 1
    and 2 permute by b and mask; party 1 passes its part, which does not wait for the first, to party 0.
    Parties 2 and 0 permute by c and share the result anew.

    Raises:
        InputError: the columns are not of one length.
    """
    if len({column.shape for column in columns}) > 1 or any(len(column.shape) != 1 for column in columns):
        raise InputError("the columns of a shuffle are one-dimensional and of one length")
    if not columns:
        return ()
    table = stack(columns)
    shape, word = table.shape, (table.shape, WORD)
    if party.index == 0:
        a, mask = _permutation_and_mask(party, 1, shape)
        c = random_permutation(party.stream(2, "permutation"), shape[1])
        x = (table.own + table.next)[:, a] + mask
        part = party.exchange("shuffle", {2: x}, {1: word})[1][:, c]
    elif party.index == 1:
        a, mask_a = _permutation_and_mask(party, 0, shape)
        b, mask_b = _permutation_and_mask(party, 2, shape)
        party.exchange("shuffle", {0: (table.next[:, a] - mask_a)[:, b] + mask_b}, {})
        part = np.zeros(shape, dtype=WORD)
    else:
        b, mask = _permutation_and_mask(party, 1, shape)
        c = random_permutation(party.stream(0, "permutation"), shape[1])
        x = party.exchange("shuffle", {}, {0: word})[0]
        part = (x[:, b] - mask)[:, c]
    shuffled = reshare_pair(party, Arithmetic, part, absent=1)
    return tuple(shuffled[i] for i in range(shape[0]))


def random_permutation(stream: WordStream, count: int) -> npt.NDArray[np.intp]:
    """Return an exactly uniform permutation of `count` indices.

    The order of distinct uniform keys is uniform; where two keys collide, the whole vector is drawn anew,
    since any rule for ties would favour some permutations.
    """
    while True:
        keys = stream.words((count,), WORD)
        order = np.argsort(keys)
        ordered = keys[order]
        if not np.any(ordered[1:] == ordered[:-1]):
            return order


def _permutation_and_mask(party: Party, peer: int, shape: Shape) -> tuple[npt.NDArray[np.intp], Words]:
    permutation = random_permutation(party.stream(peer, "permutation"), shape[1])
    return permutation, party.stream(peer, "mask").words(shape, WORD)
