"""Sorting rows: the one of two protocols that is faster for their number, which is public."""

from __future__ import annotations

from collections.abc import Sequence

from mpc.manifest import Opening
from mpc.party import Party
from mpc.relational import radix_sort
from mpc.relational.comparison_sort import compared_places
from mpc.relational.radix_sort import SortKey, sorted_places
from mpc.sharing import Arithmetic

PAIRWISE_ROWS = 512
"""Up to so many rows comparing all pairs is faster: nine rounds for a key, not eight for every two bits."""


def row_places(party: Party, keys: Sequence[SortKey], prefix: str) -> Arithmetic:
    """Return the place of each row in the sorted table, in words of `place_dtype`, (n,).

    The first key decides, then the second, as in ORDER BY; rows that agree keep their order. There is at
    least one key, and they are of one length.

    Raises:
        EvidenceError: the manifest does not have the openings of `sort_openings` now, or a peer deviates.
    """
    if keys[0].words.size <= PAIRWISE_ROWS:
        return compared_places(party, keys)
    return sorted_places(party, keys, prefix)


def sort_openings(prefix: str, count: int, key_bits: Sequence[int]) -> tuple[Opening, ...]:
    """Return the openings of `row_places` by keys of these bits, in order."""
    return () if count <= PAIRWISE_ROWS else radix_sort.sort_openings(prefix, count, key_bits)
