"""Pseudo-random words from a key: AES-128 in counter mode (NIST SP 800-38A, 6.5).

Two parties with one key draw the same words as long as they draw in the same order. A stream only moves
forward, so no counter block is used twice; `position_bytes` tells both holders how far it went.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Words: TypeAlias = npt.NDArray[Any]
"""An array of unsigned integers: elements of a ring."""
Shape: TypeAlias = tuple[int, ...]

BLOCK_BYTES = 16
_ZEROS = bytes(1 << 18)  # one plaintext for all streams; 256 KiB stays in the L2 cache


class WordStream(Protocol):
    """A source of uniform words that two parties share."""

    @property
    def position_bytes(self) -> int:
        """How many bytes were drawn so far."""
        ...

    def words(self, shape: Shape, dtype: np.dtype[Any]) -> Words:
        """Return the next words of the stream, little-endian."""
        ...


OpenStream: TypeAlias = Callable[[bytes, str], WordStream]
"""Opens the stream of (pair key, purpose)."""


class Stream:
    """The key stream of AES-128-CTR, from `first_block` on."""

    def __init__(self, key: bytes, first_block: bytes = bytes(BLOCK_BYTES)) -> None:
        self._cipher = Cipher(algorithms.AES128(key), modes.CTR(first_block)).encryptor()
        self._position_bytes = 0

    @property
    def position_bytes(self) -> int:
        """How many bytes were drawn so far."""
        return self._position_bytes

    def __repr__(self) -> str:
        return f"Stream(position_bytes={self.position_bytes})"

    def words(self, shape: Shape, dtype: np.dtype[Any]) -> Words:
        """Return the next words of the stream, little-endian."""
        out = np.empty(shape, dtype=dtype.newbyteorder("<"))
        target = out.reshape(-1).view(np.uint8)
        for start in range(0, target.size, len(_ZEROS)):
            part = target[start : start + len(_ZEROS)]
            self._cipher.update_into(memoryview(_ZEROS)[: part.size], part.data)
        self._position_bytes += target.size
        return out


def open_stream(pair_key: bytes, purpose: str) -> Stream:
    """Return the stream of a pair of parties for one purpose (HKDF-SHA256, RFC 5869).

    The pair key is fresh for every attempt (R3), so the context names the purpose only.
    """
    info = b"usufruct mpc prss v1\x00" + purpose.encode()
    return Stream(HKDF(SHA256(), BLOCK_BYTES, salt=None, info=info).derive(pair_key))
