"""The larger and the smaller of shared integers, read as signed.

`full_range` is that of `mpc.comparison.less_than_bits`: without it differences must stay in the signed range.
"""

from __future__ import annotations

from collections.abc import Callable

from mpc.comparison import less_than
from mpc.conversion import select
from mpc.party import Party
from mpc.sharing import Arithmetic, concatenate
from records.errors import InputError


def maximum(party: Party, x: Arithmetic, y: Arithmetic, *, full_range: bool = True) -> Arithmetic:
    """Return the larger of x and y at every place.

    Raises:
        InputError: x and y are of different rings or shapes.
    """
    return select(party, less_than(party, x, y, full_range=full_range), y, x)


def minimum(party: Party, x: Arithmetic, y: Arithmetic, *, full_range: bool = True) -> Arithmetic:
    """Return the smaller of x and y at every place.

    Raises:
        InputError: x and y are of different rings or shapes.
    """
    return select(party, less_than(party, x, y, full_range=full_range), x, y)


def largest(party: Party, x: Arithmetic, *, full_range: bool = True) -> Arithmetic:
    """Return the largest along the first axis of (n, …), shape (1, …): a tournament of ⌈log2 n⌉ matches.

    Raises:
        InputError: there is nothing to choose from.
    """
    return _tournament(party, x, lambda a, b: maximum(party, a, b, full_range=full_range))


def smallest(party: Party, x: Arithmetic, *, full_range: bool = True) -> Arithmetic:
    """Return the smallest along the first axis of (n, …), shape (1, …): a tournament of ⌈log2 n⌉ matches.

    Raises:
        InputError: there is nothing to choose from.
    """
    return _tournament(party, x, lambda a, b: minimum(party, a, b, full_range=full_range))


def _tournament(
    party: Party, x: Arithmetic, match: Callable[[Arithmetic, Arithmetic], Arithmetic]
) -> Arithmetic:
    if x.shape[0] == 0:
        raise InputError("the largest or smallest of no value does not exist; check the size first")
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        x = concatenate([match(x[:half], x[half : 2 * half]), x[2 * half :]])
    return x
