"""What private set intersection costs; see `mpc/costs.py`. A function of what is public about the lists."""

from __future__ import annotations

from mpc.costs import Cost, matmul, share_input
from mpc.matching.intersection import IdLists


def intersection(lists: IdLists) -> Cost:
    """Send all tags; enter the size, or values and memberships; take one inner product a column."""
    cost = Cost(1, lists.tag_bytes * sum(lists.sizes))
    if lists.columns == 0:
        return cost + share_input(1)
    rows = lists.sizes[0]
    return cost + share_input(rows * lists.columns) + share_input(rows + 1) + matmul(1, lists.columns)
