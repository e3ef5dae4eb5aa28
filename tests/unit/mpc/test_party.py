from __future__ import annotations

import numpy as np
import pytest

from mpc.link import Link
from mpc.manifest import Manifest
from mpc.party import PairKeys, Party
from mpc.prg import open_stream
from mpc.sharing import Arithmetic, Boolean
from records.errors import InputError
from sandbox.link.memory import memory_links
from tests.unit.mpc.three_parties import KEYS, run


def party(index: int, link: Link) -> Party:
    return Party(index, link, PairKeys(KEYS[0], KEYS[1]), Manifest())


def test_keys_are_of_full_length_distinct_and_never_shown() -> None:
    for previous, following in ((KEYS[0], KEYS[0]), (KEYS[0][:31], KEYS[1]), (b"", KEYS[1])):
        with pytest.raises(InputError):
            PairKeys(previous, following)
    assert repr(PairKeys(KEYS[0], KEYS[1])) == "PairKeys(…)"


def test_a_party_has_a_link_of_its_own() -> None:
    links = memory_links(1.0)
    with pytest.raises(InputError):
        party(1, links[0])
    with pytest.raises(InputError):
        party(3, links[0])
    assert party(0, links[0]).previous == 2


@pytest.mark.parametrize("kind", [Arithmetic, Boolean])
def test_zero_shares_sum_to_zero_and_never_repeat(kind: type[Arithmetic] | type[Boolean]) -> None:
    first, second = zip(
        *run(lambda p: (p.zero_share(kind, (16,)), p.zero_share(kind, (16,)))).results, strict=True
    )
    for shares in (first, second):
        assert not kind.add(kind.add(shares[0], shares[1]), shares[2]).any()
    drawn = np.concatenate([*first, *second])
    assert len(set(drawn.tolist())) == drawn.size


def test_streams_differ_by_key_and_purpose_and_only_move_forward() -> None:
    def draw(key: bytes, purpose: str) -> list[int]:
        words: list[int] = open_stream(key, purpose).words((8,), np.dtype(np.uint64)).tolist()
        return words

    streams = [draw(key, purpose) for key in KEYS for purpose in ("zero", "random", "input")]
    assert len({word for words in streams for word in words}) == 8 * 9
    assert draw(KEYS[0], "zero") == streams[0]

    stream = open_stream(KEYS[0], "zero")
    parts = [stream.words((n,), np.dtype(np.uint8)) for n in (3, 0, 13, 48)]
    assert stream.position_bytes == 64
    assert np.concatenate(parts).view("<u8").tolist() == streams[0]


def test_a_long_draw_equals_many_short_ones() -> None:
    count = (1 << 15) + 5  # beyond one block of plaintext
    whole = open_stream(KEYS[1], "zero").words((2, count), np.dtype(np.uint64))
    stream = open_stream(KEYS[1], "zero")
    np.testing.assert_array_equal(whole[0], stream.words((count,), np.dtype(np.uint64)))
    np.testing.assert_array_equal(whole[1], stream.words((count,), np.dtype(np.uint64)))
