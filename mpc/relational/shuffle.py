"""Secret permutations of rows: shuffling, undoing it, and moving columns by a shared order.

A secret permutation is composed of three, each known to two parties, so that every party lacks one of them
(Chida et al., ePrint 2019/695, Algorithm 9): two rounds and four words an element. An order that is itself
shared is opened after a shuffle, where it is a uniform permutation whatever it was; then columns move by it,
there and back, as often as one likes (Asharov et al., ePrint 2022/1595, section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

import numpy as np

from mpc.multiplication import summand
from mpc.opening import open_to_parties
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.kernels import gathered, scattered
from mpc.relational.permutation import NO_ROWS, Permutation, random_permutation, require_permutation
from mpc.sharing import BYTE, WORD32, Arithmetic, Shared
from records.errors import InputError

S = TypeVar("S", bound=Shared)
Move: TypeAlias = Callable[[Words], Words]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SecretPermutation:
    """One party's view of the permutation a, then b, then c of n rows; the one it does not know is empty.

    `a` is known to parties 0 and 1, `b` to 1 and 2, `c` to 2 and 0.
    """

    a: Permutation
    b: Permutation
    c: Permutation


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SharedOrder:
    """A shared order of n rows, ready to move columns: its places, opened after the shuffle `hiding`.

    Row k of a shuffled column goes to place `places[k]`.
    """

    hiding: SecretPermutation
    places: Words


def shuffle(party: Party, columns: Sequence[S]) -> tuple[S, ...]:
    """Permute columns (n,) of any rings by one uniform permutation that no party knows: two rounds.

    No column costs nothing.

    Raises:
        InputError: the columns are not one-dimensional, or not of one length.
    """
    if not columns:
        return ()
    return apply(party, secret_permutation(party, _rows(columns)), columns)


def secret_permutation(party: Party, count: int) -> SecretPermutation:
    """Draw a uniform permutation of `count` rows that no party knows. No message."""
    with_next = random_permutation(party.stream(party.next, "permutation"), count)
    with_previous = random_permutation(party.stream(party.previous, "permutation"), count)
    known = {party.index: with_next, party.previous: with_previous}
    return SecretPermutation(*(known.get(holder, NO_ROWS) for holder in range(3)))


def apply(party: Party, permutation: SecretPermutation, columns: Sequence[S]) -> tuple[S, ...]:
    """Return the columns with row a[b[c[i]]] in place i: two rounds, four words an element.

    Raises:
        InputError: the columns are not one-dimensional, or not of one length.
    """
    return _along(party, _there(permutation), columns)


def undo(party: Party, permutation: SecretPermutation, columns: Sequence[S]) -> tuple[S, ...]:
    """Return the columns as they were before `apply`: two rounds, four words an element.

    Raises:
        InputError: the columns are not one-dimensional, or not of one length.
    """
    return _along(party, _back(permutation), columns)


def disclose_order(
    party: Party, places: Arithmetic, opening_id: str, columns: Sequence[S] = ()
) -> tuple[SharedOrder, tuple[S, ...]]:
    """Open a shared order behind a shuffle, and return it with the columns moved by it: three rounds.

    Row i of a column goes to place `places[i]`. What is opened is the order of shuffled rows: a uniform
    permutation, independent of the shared one.

    Raises:
        EvidenceError: the manifest does not have this opening now, two holders of a share differ, or the
            places are no permutation.
        InputError: the columns are not one-dimensional, or not of one length.
    """
    hiding = secret_permutation(party, places.size)
    shuffled, *rest = apply(party, hiding, cast("list[Shared]", [places, *columns]))
    opened = open_to_parties(party, cast("Arithmetic", shuffled), opening_id)
    order = SharedOrder(hiding, opened.astype(WORD32))
    require_permutation(order.places)
    moved = tuple(_placed(column, order) for column in rest)
    return order, cast("tuple[S, ...]", moved)


def move(party: Party, order: SharedOrder, columns: Sequence[S]) -> tuple[S, ...]:
    """Return columns with each row in its place of the order: two rounds, four words an element.

    Raises:
        InputError: the columns are not one-dimensional, or not of one length.
    """
    shuffled = apply(party, order.hiding, columns)
    return tuple(_placed(column, order) for column in shuffled)


def move_back(party: Party, order: SharedOrder, columns: Sequence[S]) -> tuple[S, ...]:
    """Return columns as they were before `move`: two rounds, four words an element.

    Raises:
        InputError: the columns are not one-dimensional, or not of one length.
    """
    shuffled = [column.map(lambda words: gathered(words, order.places)) for column in columns]
    return undo(party, order.hiding, shuffled)


def move_parts_back(party: Party, order: SharedOrder, part: Words) -> Arithmetic:
    """Share a column of which every party has an additive part, and move it back: three rounds, five words.

    Party 1 folds its part into that of party 2, behind a mask that party 0 takes off.
    """
    part = gathered(part, order.places)
    if party.index == 0:
        part -= party.stream(1, "mask").words(part.shape, part.dtype)
        party.exchange("fold", {}, {})
    elif party.index == 1:
        part += party.stream(0, "mask").words(part.shape, part.dtype)
        party.exchange("fold", {2: part}, {})
    else:
        part += party.exchange("fold", {}, {1: (part.shape, part.dtype)})[1]
    return cast("Arithmetic", _carry(party, _back(order.hiding), [Arithmetic], [part])[0])


@dataclass(frozen=True, slots=True)
class _Route:
    """Parties A, B, C and three moves of rows, known to A and B, to B and C, and to C and A.

    A column on this route is u + w, with u at A and w at B.
    """

    parties: tuple[int, int, int]
    moves: tuple[Move, Move, Move]


def _there(permutation: SecretPermutation) -> _Route:
    return _Route((0, 1, 2), (permutation.a.apply, permutation.b.apply, permutation.c.apply))


def _back(permutation: SecretPermutation) -> _Route:
    """Return the route of the inverse; party 0 has u, and party 2 has w, as `summand` leaves them."""
    return _Route((0, 2, 1), (permutation.c.undo, permutation.b.undo, permutation.a.undo))


def _along(party: Party, route: _Route, columns: Sequence[S]) -> tuple[S, ...]:
    _rows(columns)
    parts = [summand(party, column) for column in columns]
    return cast("tuple[S, ...]", _carry(party, route, [type(column) for column in columns], parts))


def _carry(
    party: Party, route: _Route, kinds: Sequence[type[Shared]], parts: Sequence[Words]
) -> tuple[Shared, ...]:
    """Permute columns u + w by the first, second and third move of a route, and share them anew.

    A permutes u and masks it for C. B permutes w by two permutations and masks it twice, for A. C takes the
    first mask off and permutes; then A and C have permuted parts, and neither knows all permutations that
    led to what it received.
    """
    first, second, third = route.moves
    a, b, c = route.parties
    shapes = [(words.shape, words.dtype) for words in parts]

    def masks(peer: int) -> list[Words]:
        stream = party.stream(peer, "mask")
        return [stream.words(shape, dtype) for shape, dtype in shapes]

    def permuted(columns: Sequence[Words], move: Move) -> list[Words]:
        return [move(words) for words in columns]

    if party.index == a:
        outgoing = permuted(parts, first)
        for kind, words, mask in zip(kinds, outgoing, masks(b), strict=True):
            kind.add(words, mask, out=words)
        done = permuted(_swap(party, "shuffle", {c: outgoing}, b, parts), third)
    elif party.index == b:
        inner = permuted(parts, first)
        for kind, words, mask in zip(kinds, inner, masks(a), strict=True):
            kind.subtract(words, mask, out=words)
        outgoing = permuted(inner, second)
        for kind, words, mask in zip(kinds, outgoing, masks(c), strict=True):
            kind.add(words, mask, out=words)
        done = _swap(party, "shuffle", {a: outgoing}, None, parts)
    else:
        inner = permuted(_swap(party, "shuffle", {}, a, parts), second)
        for kind, words, mask in zip(kinds, inner, masks(b), strict=True):
            kind.subtract(words, mask, out=words)
        done = permuted(inner, third)
    return _share_anew(party, kinds, done, parts, absent=b)


def _share_anew(
    party: Party, kinds: Sequence[type[Shared]], parts: Sequence[Words], like: Sequence[Words], absent: int
) -> tuple[Shared, ...]:
    """Do as `multiplication.reshare_pair`, for columns of several rings in one round."""

    def drawn(neighbour: int) -> list[Words]:
        stream = party.stream(neighbour, "reshare")
        return [stream.words(words.shape, words.dtype) for words in like]

    if party.index == absent:
        own, following = drawn(party.previous), drawn(party.next)
        party.exchange("reshare", {}, {})
        return tuple(kind(x, y) for kind, x, y in zip(kinds, own, following, strict=True))
    peer = 3 - absent - party.index
    masks = drawn(absent)
    masked = [kind.subtract(x, m) for kind, x, m in zip(kinds, parts, masks, strict=True)]
    received = _swap(party, "reshare", {peer: masked}, peer, like)
    totals = [kind.add(x, y) for kind, x, y in zip(kinds, masked, received, strict=True)]
    if party.previous == absent:
        return tuple(kind(m, t) for kind, m, t in zip(kinds, masks, totals, strict=True))
    return tuple(kind(t, m) for kind, m, t in zip(kinds, masks, totals, strict=True))


def _swap(
    party: Party, step: str, sends: dict[int, list[Words]], sender: int | None, like: Sequence[Words]
) -> list[Words]:
    """Take part in a round whose messages hold one column after the other, as bytes."""
    outgoing = {to: _joined(columns) for to, columns in sends.items()}
    size = sum(words.nbytes for words in like)
    received = party.exchange(step, outgoing, {} if sender is None else {sender: ((size,), BYTE)})
    if sender is None:
        return []
    edges = np.cumsum([0, *(words.nbytes for words in like)])
    return [
        received[sender][start:stop].view(words.dtype.newbyteorder("<"))
        for words, start, stop in zip(like, edges[:-1], edges[1:], strict=True)
    ]


def _joined(columns: Sequence[Words]) -> Words:
    """Return the columns as the bytes that cross a wire: little-endian."""
    raw = [words.astype(words.dtype.newbyteorder("<"), copy=False).view(np.uint8) for words in columns]
    return raw[0] if len(raw) == 1 else np.concatenate(raw)


def _placed(column: S, order: SharedOrder) -> S:
    return column.map(lambda words: scattered(words, order.places))


def _rows(columns: Sequence[Shared]) -> int:
    if not columns or len({column.shape for column in columns}) > 1 or len(columns[0].shape) != 1:
        raise InputError("columns that move together are one-dimensional and of one length")
    return columns[0].size
