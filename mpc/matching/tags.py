"""Keyed tags of ids, by which a party without the key matches two lists in the clear. All local.

A tag is the start of AES_K(id), for text ids of AES_K(BLAKE2b_K′(id)): to whoever lacks the key, distinct
ids have uniform tags, so tags in rising order tell how many there are and nothing else. Whoever has the key
and a tag finds the id by trying: the matching party must not work with an owner of the key. Keys are fresh
for every pair of lists, so that tags of one do not meet those of another.

64 + 16 bits suffice for lists with n_a·n_b ≤ 2^40, 64 + 32 beyond: two different ids have one tag with
probability 2^−40 over both lists (Kamara et al., FC 2014, take the same bound).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mpc.prg import Words
from records.errors import EvidenceError, InputError

KEY_BYTES = 48
"""16 for AES, and 32 for BLAKE2b."""
_BLOCK_BYTES = 16
_SHORT_PAIRS = 1 << 40
_MOST_PAIRS = 1 << 56
_LONGEST_RUN = 4


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Tags:
    """n tags in rising order, none twice: `heads` (n,) of 64 bits, then `tails` (n,)."""

    heads: Words
    tails: Words

    def __repr__(self) -> str:
        return f"Tags(count={self.heads.size})"

    def to_words(self) -> Words:
        """Return the bytes that cross the wire: all heads, then all tails."""
        return np.concatenate([part.view(np.uint8) for part in (self.heads, self.tails)])

    @classmethod
    def from_words(cls, words: Words, tail: np.dtype[Any]) -> Tags:
        """Read what `to_words` wrote.

        Raises:
            EvidenceError: the tags are not in rising order, or one comes twice.
        """
        count = words.size // (8 + tail.itemsize)
        heads, tails = (
            words[part].view(kind)
            for part, kind in ((slice(8 * count), "u8"), (slice(8 * count, None), tail))
        )
        rising = (heads[1:] > heads[:-1]) | (heads[1:] == heads[:-1]) & (tails[1:] > tails[:-1])
        if not np.all(rising):
            raise EvidenceError("a list of tags is not in rising order, or names one twice; void the attempt")
        return cls(heads, tails)


def tail_dtype(sizes: tuple[int, int]) -> np.dtype[Any]:
    """Return the word that holds what a tag has beyond 64 bits, for two lists of these lengths.

    Raises:
        InputError: the lists are too long for tags of 96 bits.
    """
    pairs = sizes[0] * sizes[1]
    if pairs > _MOST_PAIRS:
        raise InputError("two lists of ids have at most 2^56 pairs; split the job")
    return np.dtype(np.uint16 if pairs <= _SHORT_PAIRS else np.uint32)


def tagged(ids: npt.ArrayLike, key: bytes, tail: np.dtype[Any]) -> tuple[Tags, npt.NDArray[np.intp]]:
    """Return the tags of distinct ids, and the order that sorts the ids as their tags.

    Raises:
        InputError: an id occurs twice, or is neither an integer of 64 bits nor text.
    """
    encryptor = Cipher(algorithms.AES128(key[:_BLOCK_BYTES]), modes.ECB()).encryptor()  # noqa: S305 - a PRF of single blocks
    words = np.frombuffer(encryptor.update(_blocks(ids, key[_BLOCK_BYTES:])), dtype="<u8").reshape(-1, 2)
    heads, tails = words[:, 0].copy(), words[:, 1].astype(tail)
    order = np.argsort(heads)
    if _longest_run(heads[order]) > 1:
        order = np.lexsort((tails, heads))
    heads, tails = heads[order], tails[order]
    if np.any((heads[1:] == heads[:-1]) & (tails[1:] == tails[:-1])):
        raise InputError("an id occurs twice in one list; keep one row for each id")
    return Tags(heads, tails), order


def members(tags: Tags, others: Tags) -> npt.NDArray[np.bool_]:
    """Return which of the tags the other list has too, in the order of the tags.

    Raises:
        EvidenceError: more tags begin alike than chance allows.
    """
    found = np.zeros(tags.heads.size, dtype=np.bool_)
    longest = _longest_run(others.heads)
    if longest > _LONGEST_RUN:  # five equal heads among 2^28 have probability 2^−120: someone made them
        raise EvidenceError("a list of tags is not pseudo-random; void the attempt")
    place = np.searchsorted(others.heads, tags.heads)
    for offset in range(longest):
        at = np.minimum(place + offset, others.heads.size - 1)
        found |= (others.heads[at] == tags.heads) & (others.tails[at] == tags.tails)
    return found


def _longest_run(rising: Words) -> int:
    """Return how often the most frequent of the sorted words occurs."""
    longest = min(1, rising.size)
    while longest < rising.size and np.any(rising[longest:] == rising[:-longest]):
        longest += 1
        if longest > _LONGEST_RUN:
            break
    return longest


def _blocks(ids: npt.ArrayLike, key: bytes) -> bytes:
    """Return one block of 16 bytes for each id: an integer and zeros, or the digest of a text."""
    array = np.asarray(ids)
    if array.ndim != 1:
        raise InputError("a list of ids has one dimension")
    if array.size == 0 or (array.dtype.kind in "iu" and np.can_cast(array.dtype, np.int64)):
        blocks = np.zeros((array.size, 2), dtype="<u8")
        blocks[:, 0] = array.astype(np.int64)
        return blocks.tobytes()
    texts = array.tolist()
    if not all(isinstance(text, str) for text in texts):
        raise InputError("ids are integers of 64 bits or text; leave out rows without an id")
    return b"".join(
        hashlib.blake2b(text.encode(), digest_size=_BLOCK_BYTES, key=key).digest() for text in texts
    )
