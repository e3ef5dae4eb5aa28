"""Canary values and the search for them in all the disguises in which a value may travel."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

Value = str | int | float | date

FIXED_POINT = 1 << 20
INT64 = range(-(1 << 63), 1 << 63)
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Canary:
    """A value that must not be seen, and where it was planted."""

    planted: str
    value: Value

    def __str__(self) -> str:
        return f"{self.planted}={self.value}"

    def is_in(self, haystack: bytes) -> bool:
        """Tell whether the value stands in `haystack`, in any disguise."""
        return any(disguise in haystack for disguise in self.disguises())

    def disguises(self) -> Iterator[bytes]:
        """Yield the value as text and as binary number: plain, in hex, in base64, in base64 of base64."""
        for form in _forms(self.value):
            yield from (form, form.hex().encode(), form.hex().upper().encode())
            for encoded in _in_base64(form):
                yield encoded
                yield from _in_base64(encoded)


def _forms(value: Value) -> Iterator[bytes]:
    match value:
        case str():
            yield value.encode()
            yield value.encode("utf-16-le")
        case int():
            yield str(value).encode()
            yield from _int64(value)
            yield from _float64(float(value))
            yield from _int64(value * FIXED_POINT)
        case float():
            yield repr(value).encode()
            yield from _float64(value)
            yield from _int64(round(value * FIXED_POINT))
        case date():
            yield value.isoformat().encode()
            # Four bytes alone would be found by chance: canary dates fill their column.
            days = (value - EPOCH).days
            yield from (2 * struct.pack(order + "i", days) for order in "<>")
            yield from _int64(days)
            yield from _int64(days * 86_400_000_000)


def _int64(number: int) -> Iterator[bytes]:
    if number in INT64:
        yield from (struct.pack(order + "q", number) for order in "<>")


def _float64(number: float) -> Iterator[bytes]:
    yield from (struct.pack(order + "d", number) for order in "<>")


def _in_base64(form: bytes) -> Iterator[bytes]:
    """Yield the characters that `form` alone decides, at each of the three alignments."""
    alphabets: tuple[Callable[[bytes], bytes], ...] = (base64.b64encode, base64.urlsafe_b64encode)
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(form)) * 8 // 6
        yield from {encode(bytes(before) + form + bytes(3))[first:last] for encode in alphabets}
