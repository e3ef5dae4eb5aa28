"""Private set intersection of two providers' ids with the third compute party as helper.

Server-aided (Kamara, Mohassel, Raykova and Sadeghian, FC 2014): two parties own a list of distinct ids each,
in plain; both draw a tag key that the helper lacks, and send it their tags in rising order. The helper
matches tags in the clear and enters what it found as shares.

What each learns: the helper both lengths and how many ids match (leaks `row-count`, `intersection-size`),
not which; each owner the other's length, and nothing about the intersection, not even its size. Size and sums
stay in shares, so that a threshold can be applied before anything is opened. Helper and one owner
together know the key, and with it the other's ids by trying.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpc.matching.tags import KEY_BYTES, Tags, members, tagged, tail_dtype
from mpc.multiplication import constant, matmul, share_input
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import BYTE, Arithmetic
from records.errors import InputError

LEAKS = ("row-count", "intersection-size")
"""What terms must allow: both to the helper, the first to all."""


@dataclass(frozen=True, slots=True)
class IdLists:
    """What is public about two lists: who owns them, how long they are, how many columns the first has."""

    owners: tuple[int, int]
    sizes: tuple[int, int]
    columns: int = 0

    def __post_init__(self) -> None:
        if self.owners[0] == self.owners[1] or not set(self.owners) < {0, 1, 2}:
            raise InputError("two of the three compute parties own the lists of ids")
        if min(*self.sizes, self.columns) < 0:
            raise InputError("the lengths of lists are not negative")
        tail_dtype(self.sizes)

    @property
    def helper(self) -> int:
        """The party that owns no list."""
        return 3 - sum(self.owners)

    @property
    def tag_bytes(self) -> int:
        """The length of one tag."""
        return 8 + tail_dtype(self.sizes).itemsize


@dataclass(frozen=True, slots=True)
class Intersection:
    """In shares: how many ids match (1,), and the sums of the first list's columns over them (columns,)."""

    size: Arithmetic
    sums: Arithmetic


def intersection(
    party: Party,
    lists: IdLists,
    ids: npt.ArrayLike | None = None,
    values: npt.ArrayLike | None = None,
) -> Intersection:
    """Intersect two lists; all three parties run it.

    The owners pass their ids, integers or text; the owner of the first list also passes `values`, integers
    (size, columns) in the order of its ids, where the lists have columns.

    Raises:
        InputError: ids or values are missing, of another length, or of a party that owns none; an id occurs
            twice. The owner raises it before it sends anything.
        EvidenceError: an owner sent tags that are out of order or not distinct.
    """
    require_inputs(party, lists, ids, values)
    first, second = lists.owners
    if party.index == lists.helper:
        found = _match(party, lists)
        rows = None
    else:
        peer = second if party.index == first else first
        key = party.stream(peer, "tag").words((KEY_BYTES,), BYTE).tobytes()
        tags, order = tagged(np.asarray(ids), key, tail_dtype(lists.sizes))
        party.exchange("tags", {lists.helper: tags.to_words()}, {})
        found = None
        rows = np.asarray(values)[order] if values is not None else None
    if lists.columns == 0:
        size = share_input(party, None if found is None else [int(found.sum())], lists.helper, (1,))
        return Intersection(size, constant(party, 0, (0,)))
    shared = share_input(party, rows, first, (lists.sizes[0], lists.columns))
    entered = None if found is None else np.append(found, found.sum())
    matched = share_input(party, entered, lists.helper, (lists.sizes[0] + 1,))
    sums = matmul(party, matched[:-1].reshape(1, -1), shared)
    return Intersection(matched[-1:], sums[0])


def _match(party: Party, lists: IdLists) -> npt.NDArray[np.bool_]:
    """Receive both lists of tags; return which of the first the second has. Run by the helper."""
    shapes = {
        owner: ((size * lists.tag_bytes,), BYTE)
        for owner, size in zip(lists.owners, lists.sizes, strict=True)
    }
    received: dict[int, Words] = party.exchange("tags", {}, shapes)
    tail = tail_dtype(lists.sizes)
    first, second = (Tags.from_words(received[owner], tail) for owner in lists.owners)
    return members(first, second)


def require_inputs(
    party: Party, lists: IdLists, ids: npt.ArrayLike | None, values: npt.ArrayLike | None
) -> None:
    owned = dict(zip(lists.owners, lists.sizes, strict=True)).get(party.index)
    if (None if ids is None else np.shape(ids)) != (None if owned is None else (owned,)):
        raise InputError("the owners of the lists pass their ids, as many as announced, and nobody else does")
    owns_values = party.index == lists.owners[0] and lists.columns > 0
    due = (owned, lists.columns) if owns_values else None
    if (None if values is None else np.shape(values)) != due:
        raise InputError("the owner of the first list passes its announced columns, and nobody else does")
