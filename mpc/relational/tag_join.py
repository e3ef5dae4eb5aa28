"""Joining two providers' plain tables with the third compute party as helper: a declared leak.

As in `mpc/matching/intersection.py`, the owners tag their ids with a key that the helper lacks, and it
matches tags in the clear. Then it brings the first table's rows into the order of the second's tags, by
an order that it alone knows; and the second owner, by orders that it alone knows, gives each of its rows
the values of its id. So several rows of the second table may have one id (after Kamara et al., FC 2014,
and Mohassel, Rindal and Rosulek, CCS 2020).

What each learns: the helper both lengths and how many distinct ids match (leaks `row-count`,
`intersection-size`); not which, and not how often an id occurs: the second list of tags is filled up with
random ones. The owners learn each other's length. Helper and one owner together learn the other's ids.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mpc.matching.intersection import IdLists, require_inputs
from mpc.matching.tags import KEY_BYTES, Tags, members, tagged, tail_dtype
from mpc.multiplication import constant, share_input
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.known_order import move_by_known
from mpc.sharing import BYTE, WORD, Arithmetic, concatenate

LEAKS = ("row-count", "intersection-size")
"""What terms must allow: both to the helper, the first to all."""


def tag_join(
    party: Party,
    lists: IdLists,
    ids: npt.ArrayLike | None = None,
    values: npt.ArrayLike | None = None,
) -> Arithmetic:
    """Give each row of the second list the values of the first list's row with its id; all parties run it.

    The owners pass their ids; the first owner's are distinct. It also passes `values`, integers
    (size, columns). Returns shares (1 + columns, second size), in the order of the second list: 1 where the
    id was found, and the values; 0 where it was not. Nothing is opened.

    Raises:
        InputError: ids or values are missing, of another length, or of a party that owns none; an id of the
            first list occurs twice. The owner raises it before it sends anything.
        EvidenceError: an owner sent tags that are out of order or not distinct, or a peer no permutation.
    """
    require_inputs(party, lists, ids, values)
    first, second = lists.owners
    size, count = lists.sizes
    matching: Words | None = None
    grouping: Words | None = None
    entered: npt.NDArray[Any] | None = None
    if party.index == lists.helper:
        matching = _matching(party, lists)
    elif party.index == first:
        key, _ = _secrets(party, lists, second)
        tags, order = tagged(np.asarray(ids), key, tail_dtype(lists.sizes))
        party.exchange("tags", {lists.helper: tags.to_words()}, {})
        plain = np.zeros((size, 0), dtype=np.int64) if values is None else np.asarray(values)
        entered = plain[order].T
    else:
        tags, tag_of_row = _filled(party, lists, np.asarray(ids))
        party.exchange("tags", {lists.helper: tags.to_words()}, {})
        grouping = np.argsort(np.concatenate([np.arange(count), tag_of_row]), kind="stable")
    columns = share_input(party, entered, first, (lists.columns, size))
    found = concatenate([constant(party, 1, (1, size)), columns])
    by_tag = move_by_known(party, _extended(party, found, count), matching, lists.helper)[:, :count]
    return _spread(party, by_tag, grouping, second)


def _spread(party: Party, by_tag: Arithmetic, grouping: Words | None, owner: int) -> Arithmetic:
    """Give each row the columns (c, m) of its tag; only `owner` passes the order of tags and rows by tag.

    The differences between tags go where the tags stand, each before the rows that have it. Running sums
    carry them on to those rows, and a second order puts the rows back as they were.
    """
    count = by_tag.shape[1]
    steps = _extended(party, by_tag.map(_differences), count)
    grouped = move_by_known(party, steps, grouping, owner).map(lambda x: np.cumsum(x, axis=1, dtype=x.dtype))
    back = None
    if grouping is not None:
        places = np.argsort(grouping)
        back = np.concatenate([places[count:], places[:count]])
    return move_by_known(party, grouped, back, owner)[:, :count]


def _matching(party: Party, lists: IdLists) -> Words:
    """Receive both lists of tags; return which row of the first, or which empty one, each tag takes."""
    tail = tail_dtype(lists.sizes)
    shapes = {o: ((s * lists.tag_bytes,), BYTE) for o, s in zip(lists.owners, lists.sizes, strict=True)}
    received = party.exchange("tags", {}, shapes)
    first, second = (Tags.from_words(received[owner], tail) for owner in lists.owners)
    size, count = lists.sizes
    # Both lists rise, so that the tags which they share come in one order.
    rows = np.full(count, -1)
    rows[members(second, first)] = np.flatnonzero(members(first, second))
    unmatched = np.flatnonzero(rows < 0)
    rows[unmatched] = size + np.arange(unmatched.size)
    unused = np.setdiff1d(np.arange(size + count), rows)
    return np.concatenate([rows, unused])


def _filled(party: Party, lists: IdLists, ids: npt.NDArray[Any]) -> tuple[Tags, Words]:
    """Return a tag for each distinct id and random ones up to the list's length, and each row's tag."""
    key, random = _secrets(party, lists, lists.owners[0])
    distinct, id_of_row = np.unique(ids, return_inverse=True)
    tags, order = tagged(distinct, key, tail_dtype(lists.sizes))
    missing = lists.sizes[1] - distinct.size
    heads = np.concatenate([tags.heads, random.heads[:missing]])
    tails = np.concatenate([tags.tails, random.tails[:missing]])
    rising = np.lexsort((tails, heads))
    tag_of_id = np.empty(distinct.size, dtype=np.intp)
    tag_of_id[order] = np.argsort(rising)[: distinct.size]
    return Tags(heads[rising], tails[rising]), tag_of_id[id_of_row]


def _secrets(party: Party, lists: IdLists, peer: int) -> tuple[bytes, Tags]:
    """Draw what the owners know together: the tag key, and random tags for every row of the second list."""
    stream = party.stream(peer, "tag")
    key = stream.words((KEY_BYTES,), BYTE).tobytes()
    shape = (lists.sizes[1],)
    return key, Tags(stream.words(shape, WORD), stream.words(shape, tail_dtype(lists.sizes)))


def _extended(party: Party, table: Arithmetic, by: int) -> Arithmetic:
    """Return the columns with so many rows of zeros behind them. No message."""
    return concatenate([table, constant(party, 0, (table.shape[0], by))], axis=1)


def _differences(words: Words) -> Words:
    steps = words.copy()
    steps[:, 1:] -= words[:, :-1]
    return steps
