from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from billing import merkle
from sandbox.cli.log_check import Frontier


def plain_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162, 2.1.1, word by word."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return merkle.leaf_hash(leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return merkle.node_hash(plain_root(leaves[:half]), plain_root(leaves[half:]))


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_a_frontier_has_the_root_of_all_leaves_at_every_size(leaves: list[bytes]) -> None:
    tree = Frontier()
    assert tree.root() == plain_root([])
    for size, leaf in enumerate(leaves, start=1):
        tree.append(leaf)
        assert tree.root() == plain_root(leaves[:size])
        assert len(tree._nodes) == size.bit_count()
