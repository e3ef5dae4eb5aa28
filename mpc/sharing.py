"""Replicated secret sharing among three parties (Araki et al., CCS 2016).

x = x0 + x1 + x2 in a ring, and party i holds (x_i, x_{i+1}), indices modulo 3. Any two parties know x,
one alone sees uniform words. There are two rings: integers modulo 2^k with + and ×, and words of k bits
with XOR and AND. The width k of both is that of the array's words: 64 unless a caller chooses another; a
column whose values fit into 32 bits costs half. What is linear needs no message and is an operator here.
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
WORD32 = np.dtype(np.uint32)
BYTE = np.dtype(np.uint8)
_WORDS = frozenset(np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64"))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Shared:
    """One party's two shares (x_i, x_{i+1}) of an array. There is no equality: compare in shares."""

    own: Words
    next: Words

    add: ClassVar[np.ufunc]
    subtract: ClassVar[np.ufunc]
    product: ClassVar[np.ufunc]

    def __post_init__(self) -> None:
        if self.own.shape != self.next.shape or self.own.dtype != self.next.dtype:
            raise InputError("the two shares of a party have one shape and one word")
        if self.own.ndim == 0 or self.own.dtype not in _WORDS:
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

    def flat(self) -> Self:
        """Return the same elements in one contiguous run, as the kernels want them."""
        return self.map(lambda words: np.ascontiguousarray(words).reshape(-1))

    def __getitem__(self, key: Any) -> Self:
        return self.map(lambda words: words[key])

    def __add__(self, other: Self) -> Self:
        require_one_ring(self, other)
        return type(self)(self.add(self.own, other.own), self.add(self.next, other.next))

    def __sub__(self, other: Self) -> Self:
        require_one_ring(self, other)
        return type(self)(self.subtract(self.own, other.own), self.subtract(self.next, other.next))

    def __mul__(self, public: int | npt.NDArray[Any]) -> Self:
        """Multiply by a public constant, or by public integers of a shape that broadcasts."""
        if isinstance(public, int):
            factor = self.dtype.type(public % (1 << 8 * self.dtype.itemsize))
            return self.map(lambda words: self.product(words, factor))
        # Without the cast a wider factor would widen the shares, and wide shares do not sum to the product.
        factors = public.astype(self.dtype, copy=False)
        return self.map(lambda words: self.product(words, factors))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Arithmetic(Shared):
    """Shares of integers modulo 2^k; `decode` reads them as signed."""

    add: ClassVar[np.ufunc] = np.add
    subtract: ClassVar[np.ufunc] = np.subtract
    product: ClassVar[np.ufunc] = np.multiply

    def __neg__(self) -> Self:
        return self.map(np.negative)

    def sum(self, axis: int) -> Self:
        """Return the sum along an axis; at least one axis must remain."""
        return self.map(lambda words: words.sum(axis=axis, dtype=words.dtype))

    def narrow(self, dtype: np.dtype[Any]) -> Self:
        """Return the same integers modulo the size of a narrower word: reduction is a homomorphism.

        Raises:
            InputError: the word is wider; widening needs a protocol.
        """
        if dtype.itemsize > self.dtype.itemsize:
            raise InputError("shares are narrowed only; enter them in the wider ring from the start")
        return self.map(lambda words: words.astype(dtype, copy=False))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Boolean(Shared):
    """Shares of words of bits: the sum is XOR, the product AND."""

    add: ClassVar[np.ufunc] = np.bitwise_xor
    subtract: ClassVar[np.ufunc] = np.bitwise_xor
    product: ClassVar[np.ufunc] = np.bitwise_and

    def __xor__(self, other: Self) -> Self:
        return self + other

    def __and__(self, public: int | npt.NDArray[Any]) -> Self:
        return self * public


S = TypeVar("S", bound=Shared)


def require_one_ring(x: Shared, y: Shared) -> None:
    """Return if both are shared in one ring.

    Raises:
        InputError: they are not: NumPy would widen the narrower, and its shares would no longer sum up.
    """
    if type(x) is not type(y) or x.dtype != y.dtype:
        raise InputError("operands are shared in different rings; narrow the wider one first")


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


def encode(values: npt.ArrayLike, dtype: np.dtype[Any] = WORD) -> Words:
    """Return integers or truth values as elements of a ring, in two's complement.

    Integers of a signed type must fit into the signed range of the word, those of an unsigned type into the
    unsigned one.

    Raises:
        InputError: the values are not integers, one does not fit into the word, or there is no axis.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iub" or array.ndim == 0:
        raise InputError("only arrays of integers and truth values are shared; scale decimals to integers")
    range_of = np.iinfo(f"{'i' if array.dtype.kind == 'i' else 'u'}{dtype.itemsize}")
    narrowed = array.size > 0 and array.dtype.itemsize > dtype.itemsize
    if narrowed and not (range_of.min <= array.min() and array.max() <= range_of.max):
        raise InputError(f"a value does not fit into {range_of.bits} bits; share the column in wider words")
    return array.astype(dtype, casting="unsafe")


def decode(words: Words) -> npt.NDArray[np.signedinteger[Any]]:
    """Return elements of a ring as signed integers of the same width."""
    return words.view(np.dtype(f"i{words.dtype.itemsize}"))


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
    return np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def split(
    values: npt.ArrayLike, random_bytes: Callable[[int], bytes], dtype: np.dtype[Any] = WORD
) -> tuple[Arithmetic, Arithmetic, Arithmetic]:
    """Share integers as a client who is no compute party; element i is for party i.

    `random_bytes` must be a cryptographic source such as `secrets.token_bytes`.

    Raises:
        InputError: the values are not integers, one does not fit into the word, or there is no axis.
    """
    encoded = encode(values, dtype)
    x0 = from_bytes(random_bytes(encoded.nbytes), encoded.shape, dtype)
    x1 = from_bytes(random_bytes(encoded.nbytes), encoded.shape, dtype)
    x2 = encoded - x0 - x1
    return Arithmetic(x0, x1), Arithmetic(x1, x2), Arithmetic(x2, x0)


def reconstruct(x0: Words, x1: Words, x2: Words) -> Words:
    """Return x = x0 + x1 + x2 in the ring of the words; `decode` makes it signed.

    Raises:
        InputError: the shares are of different widths.
    """
    if len({x0.dtype, x1.dtype, x2.dtype}) != 1:
        raise InputError("the three shares of a value have one width")
    return x0 + x1 + x2
