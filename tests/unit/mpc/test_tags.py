from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.matching.tags import KEY_BYTES, Tags, members, tagged, tail_dtype
from mpc.prg import Words
from records.errors import EvidenceError, InputError
from tests.unit.mpc.columns import integers

KEY = bytes(range(KEY_BYTES))
TAIL = np.dtype(np.uint16)


def tags_of(heads: list[int], tails: list[int]) -> Tags:
    return Tags(np.array(heads, dtype=np.uint64), np.array(tails, dtype=TAIL))


def test_a_tag_is_the_start_of_the_aes_block_of_its_id() -> None:
    tags, order = tagged(np.array([-2]), KEY, TAIL)
    encryptor = Cipher(algorithms.AES128(KEY[:16]), modes.ECB()).encryptor()  # noqa: S305 - one block
    block = encryptor.update((-2).to_bytes(8, "little", signed=True) + bytes(8))
    assert tags.to_words().tobytes() == block[:10]
    assert order.tolist() == [0]


@settings(max_examples=50, deadline=None)
@given(st.sets(integers, max_size=30), st.sets(integers, max_size=30))
def test_members_are_those_of_the_sets(first: set[int], second: set[int]) -> None:
    ids = np.array(sorted(first), dtype=np.int64)
    (tags, order), (others, _) = tagged(ids, KEY, TAIL), tagged(list(second), KEY, TAIL)
    found = members(tags, others)
    assert set(ids[order][found].tolist()) == first & second


@given(st.sets(st.text(max_size=20), max_size=20), st.sets(st.text(max_size=20), max_size=20))
def test_text_is_matched_whole(first: set[str], second: set[str]) -> None:
    (tags, _), (others, _) = (tagged(np.array(list(ids), dtype=object), KEY, TAIL) for ids in (first, second))
    assert int(members(tags, others).sum()) == len(first & second)


def test_integers_of_any_width_are_one_kind_of_id() -> None:
    (wide, _), (narrow, _) = (tagged(np.arange(50, dtype=dtype), KEY, TAIL) for dtype in ("i8", "u4"))
    assert members(wide, narrow).all()


def test_tags_of_another_key_do_not_match() -> None:
    ids = np.arange(1000)
    (tags, _), (others, _) = tagged(ids, KEY, TAIL), tagged(ids, bytes(KEY_BYTES), TAIL)
    assert not members(tags, others).any()
    assert members(tags, tags).all()


@pytest.mark.parametrize("ids", [[5, 7, 5], ["a", "b", "a"], [-1, -1]])
def test_an_id_that_occurs_twice_is_refused(ids: list[int]) -> None:
    with pytest.raises(InputError, match="occurs twice"):
        tagged(np.array(ids), KEY, TAIL)


@pytest.mark.parametrize(
    "ids",
    [[1.0, 2.0], [float("nan")], [[1], [2]], np.array(["a", None], dtype=object), [True, False], [1 << 63]],
)
def test_ids_that_are_neither_integers_nor_text_are_refused(ids: Any) -> None:
    with pytest.raises(InputError, match=r"integers of 64 bits or text|one dimension"):
        tagged(ids, KEY, TAIL)


def test_heads_that_collide_are_told_apart_by_their_tails() -> None:
    others = tags_of([3, 3, 3, 9], [1, 4, 6, 4])
    assert members(tags_of([3, 3, 9, 9], [4, 5, 4, 7]), others).tolist() == [True, False, True, False]
    assert members(tags_of([3, 9], [6, 4]), others).tolist() == [True, True]


def test_colliding_heads_are_sorted_by_their_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Colliding:
        """AES whose heads are all equal."""

        def update(self, raw: bytes) -> bytes:
            blocks: Words = np.frombuffer(raw, dtype="<u8").reshape(-1, 2)[:, ::-1].copy()
            blocks[:, 1] = [5, 2, 9]
            return blocks.tobytes()

    monkeypatch.setattr(Cipher, "encryptor", lambda _: Colliding())
    tags, order = tagged(np.array([10, 20, 30]), KEY, TAIL)
    assert order.tolist() == [1, 0, 2]
    assert Tags.from_words(tags.to_words(), TAIL).tails.tolist() == [2, 5, 9]


@pytest.mark.parametrize(
    ("heads", "tails"), [([2, 1], [0, 0]), ([1, 1], [7, 7]), ([1, 1], [8, 7]), ([0, 5, 5], [9, 1, 1])]
)
def test_tags_that_do_not_rise_are_evidence(heads: list[int], tails: list[int]) -> None:
    with pytest.raises(EvidenceError):
        Tags.from_words(tags_of(heads, tails).to_words(), TAIL)


def test_a_list_made_of_one_head_cannot_keep_the_helper_busy() -> None:
    crafted = tags_of([7] * 1000, list(range(1000)))
    with pytest.raises(EvidenceError, match="not pseudo-random"):
        members(crafted, crafted)


@pytest.mark.parametrize(
    ("sizes", "tag_bits"), [((0, 0), 80), ((1 << 20, 1 << 20), 80), ((1 << 20, 1 + (1 << 20)), 96)]
)
def test_tags_are_wide_enough_for_forty_bits_of_certainty(sizes: tuple[int, int], tag_bits: int) -> None:
    assert 64 + 8 * tail_dtype(sizes).itemsize == tag_bits
    assert sizes[0] * sizes[1] <= 1 << tag_bits - 40


def test_lists_that_are_too_long_are_refused() -> None:
    with pytest.raises(InputError, match="split"):
        tail_dtype((1 << 29, 1 << 28))
