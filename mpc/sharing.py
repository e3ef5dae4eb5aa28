"""Replicated secret sharing among three parties (Araki et al., CCS 2016).

x = x0 + x1 + x2 in a ring, and party i holds (x_i, x_{i+1}), indices modulo 3. Any two parties know x,
one alone sees uniform words. There are two rings: integers modulo 2^64 with + and ×, and words of bits
with XOR and AND. What is linear needs no message and is an operator here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from mpc.prg import Shape, Words
from records.errors import InputError, MalformedDocument

WORD = np.dtype(np.uint64)
_UNSIGNED = frozenset(np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64"))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Shared:
    """One party's two shares (x_i, x_{i+1}) of an array. There is no equality: compare in shares."""

    own: Words
    next: Words

    add: ClassVar[np.ufunc]
    subtract: ClassVar[np.ufunc]
    product: ClassVar[np.ufunc]
    dtypes: ClassVar[frozenset[np.dtype[Any]]]

    def __post_init__(self) -> None:
        if self.own.shape != self.next.shape or self.own.dtype != self.next.dtype:
            raise InputError("the two shares of a party have one shape and one word")
        if self.own.ndim == 0 or self.own.dtype not in self.dtypes:
            raise InputError("a share is an array of unsigned words with at least one axis")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape})"

    @property
    def shape(self) -> Shape:
        """The public shape."""
        return self.own.shape

    @property
    def size(self) -> int:
        """The public number of elements."""
        return self.own.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The word that holds one element."""
        return self.own.dtype

    def map(self, function: Callable[[Words], Words]) -> Self:
        """Apply a function that is linear in the ring (a view, a permutation, a sum) to both shares."""
        return type(self)(function(self.own), function(self.next))

    def reshape(self, *shape: int) -> Self:
        """Return the same elements in another shape."""
        return self.map(lambda words: words.reshape(shape))

    def __getitem__(self, key: Any) -> Self:
        return self.map(lambda words: words[key])

    def __add__(self, other: Self) -> Self:
        return type(self)(self.add(self.own, other.own), self.add(self.next, other.next))

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.subtract(self.own, other.own), self.subtract(self.next, other.next))

    def __mul__(self, public: int | Words) -> Self:
        """Multiply by a public constant, or by public words of a shape that broadcasts."""
        factor = (
            self.dtype.type(public % (1 << 8 * self.dtype.itemsize)) if isinstance(public, int) else public
        )
        return self.map(lambda words: self.product(words, factor))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Arithmetic(Shared):
    """Shares of integers modulo 2^64."""

    add: ClassVar[np.ufunc] = np.add
    subtract: ClassVar[np.ufunc] = np.subtract
    product: ClassVar[np.ufunc] = np.multiply
    dtypes: ClassVar[frozenset[np.dtype[Any]]] = frozenset({WORD})

    def __neg__(self) -> Self:
        return self.map(np.negative)

    def sum(self, axis: int) -> Self:
        """Return the sum along an axis; at least one axis must remain."""
        return self.map(lambda words: words.sum(axis=axis, dtype=WORD))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Boolean(Shared):
    """Shares of words of bits: the sum is XOR, the product AND."""

    add: ClassVar[np.ufunc] = np.bitwise_xor
    subtract: ClassVar[np.ufunc] = np.bitwise_xor
    product: ClassVar[np.ufunc] = np.bitwise_and
    dtypes: ClassVar[frozenset[np.dtype[Any]]] = _UNSIGNED

    def __xor__(self, other: Self) -> Self:
        return self + other

    def __and__(self, public: int | Words) -> Self:
        return self * public


S = TypeVar("S", bound=Shared)


def concatenate(parts: Sequence[S], axis: int = 0) -> S:
    """Join at least one share of one ring along an axis."""
    kind = type(parts[0])
    return kind(
        np.concatenate([part.own for part in parts], axis=axis),
        np.concatenate([part.next for part in parts], axis=axis),
    )


def stack(parts: Sequence[S], axis: int = 0) -> S:
    """Join at least one share of one ring and shape along a new axis."""
    kind = type(parts[0])
    return kind(
        np.stack([part.own for part in parts], axis=axis),
        np.stack([part.next for part in parts], axis=axis),
    )


def encode(values: npt.ArrayLike) -> Words:
    """Return integers or truth values as elements of Z_2^64, in two's complement.

    Raises:
        InputError: the values are not integers, or there is no axis.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iub" or array.ndim == 0:
        raise InputError("only arrays of integers and truth values are shared; scale decimals to integers")
    return array.astype(WORD, casting="unsafe")


def decode(words: Words) -> npt.NDArray[np.int64]:
    """Return elements of Z_2^64 as signed integers."""
    return words.astype(WORD, copy=False).view(np.int64)


def to_bytes(words: Words) -> bytes:
    """Return words as they cross a wire: little-endian, C order."""
    return words.astype(words.dtype.newbyteorder("<"), copy=False).tobytes()


def from_bytes(raw: bytes | memoryview, shape: Shape, dtype: np.dtype[Any] = WORD) -> Words:
    """Read what `to_bytes` wrote.

    Raises:
        MalformedDocument: the length does not fit the shape.
    """
    if len(raw) != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
        raise MalformedDocument("the bytes of a share do not fit its shape")
    return np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def split(
    values: npt.ArrayLike, random_bytes: Callable[[int], bytes]
) -> tuple[Arithmetic, Arithmetic, Arithmetic]:
    """Share integers as a client who is no compute party; element i is for party i.

    `random_bytes` must be a cryptographic source such as `secrets.token_bytes`.

    Raises:
        InputError: the values are not integers, or there is no axis.
    """
    encoded = encode(values)
    x0 = from_bytes(random_bytes(encoded.nbytes), encoded.shape)
    x1 = from_bytes(random_bytes(encoded.nbytes), encoded.shape)
    x2 = encoded - x0 - x1
    return Arithmetic(x0, x1), Arithmetic(x1, x2), Arithmetic(x2, x0)


def reconstruct(x0: Words, x1: Words, x2: Words) -> Words:
    """Return x = x0 + x1 + x2 mod 2^64; `decode` makes it signed."""
    return x0 + x1 + x2
