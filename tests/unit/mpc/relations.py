"""Shares of words of bits, and what every relational operator must keep: streams in step."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st

from mpc.prg import Words
from mpc.relational import sorting
from mpc.relational.radix_sort import SortKey
from mpc.sharing import Boolean, Shared
from tests.unit.mpc.three_parties import Session, words_of

Bits = tuple[Boolean, Boolean, Boolean]
PlainKey = tuple[int, str, bool, list[int]]
"""Bits, words, whether it descends, and values."""


def shared_words(values: npt.ArrayLike, dtype: npt.DTypeLike = np.uint32) -> Bits:
    """Share words of bits as a client would."""
    words = np.asarray(values, dtype=dtype)
    first, second = (
        np.frombuffer(secrets.token_bytes(words.nbytes), dtype=words.dtype).reshape(words.shape) for _ in "ab"
    )
    third = words ^ first ^ second
    return Boolean(first, second), Boolean(second, third), Boolean(third, first)


def opened(session: Session[Any]) -> list[Words]:
    """Reconstruct the columns that every party returned as one sequence of shares, with streams in step."""
    assert_in_step(session)
    return [words_of(column) for column in zip(*session.results, strict=True)]


def bits_of(packed: Words, count: int) -> npt.NDArray[np.bool_]:
    """Return the first packed bits."""
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)


def assert_in_step(session: Session[Any]) -> None:
    """Both holders of a key have drawn equally much of each of its streams."""
    for party, positions in enumerate(session.positions_bytes):
        for (neighbour, purpose), drawn in positions.items():
            assert session.positions_bytes[neighbour].get((party, purpose)) == drawn


def columns_of(*groups: Sequence[Shared]) -> list[Shared]:
    """Join columns of several results into one list."""
    return [column for group in groups for column in group]


def sort_keys(keys: Sequence[PlainKey]) -> list[tuple[SortKey, ...]]:
    """Share keys; return those of each party."""
    shares = [shared_words(column, dtype) for _, dtype, _, column in keys]
    return [
        tuple(SortKey(share[i], bits, down) for share, (bits, _, down, _) in zip(shares, keys, strict=True))
        for i in range(3)
    ]


def stable_order(keys: Sequence[PlainKey]) -> list[int]:
    """Return the rows in the order of all keys, the first deciding; equal rows keep their order."""
    signed = [[-value if descending else value for value in column] for _, _, descending, column in keys]
    return sorted(range(len(keys[0][3])), key=lambda row: tuple(column[row] for column in signed))


def with_either_sort(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let one protocol sort tables of any length; the parameter is the longest that is sorted pairwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorting, "PAIRWISE_ROWS", request.param)
        yield


either_sort = pytest.fixture(
    with_either_sort, scope="module", autouse=True, params=[-1, 100], ids=["radix", "pairwise"]
)


@st.composite
def key_columns(draw: st.DrawFn) -> list[PlainKey]:
    """Draw one to three keys of any width with many ties and the extremes, 0 to 20 rows."""
    count = draw(st.integers(0, 20))
    keys = []
    for _ in range(draw(st.integers(1, 3))):
        dtype = draw(st.sampled_from(["u1", "u2", "u4", "u8"]))
        bits = draw(st.integers(1, 8 * np.dtype(dtype).itemsize))
        largest = (1 << bits) - 1
        value = st.one_of(st.sampled_from([0, 1, largest]), st.integers(0, largest))
        column = draw(st.lists(value, min_size=count, max_size=count))
        keys.append((bits, dtype, draw(st.booleans()), column))
    return keys
