"""Golden transcripts of relational operators: fixed keys and inputs give these frames, or a protocol changed.

A change on purpose updates the digest and is named in the change log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from mpc.manifest import Manifest, Opening
from mpc.matching.intersection import IdLists
from mpc.multiplication import constant
from mpc.party import Party
from mpc.relational.aggregation import group_openings, group_rows
from mpc.relational.join import LeftTable, join, join_openings
from mpc.relational.radix_sort import SortKey, sort_openings, sorted_places
from mpc.relational.ranking import counts_at_most, kth_openings, kth_ranked
from mpc.relational.selection import UPPER_MEDIAN, group_select, select_openings
from mpc.relational.tables import Rows, row_openings
from mpc.relational.tag_join import tag_join
from mpc.relational.windows import RANK, sort_windows, window_columns, window_openings
from mpc.sharing import Boolean
from tests.unit.mpc.three_parties import run

Program = Callable[[Party, Boolean], object]
WORDS = np.array([5, 0, 7, 5, 1], dtype=np.uint32)


def _tag_join(party: Party, _: Boolean) -> object:
    inputs = ((WORDS[1:], WORDS[1:, np.newaxis]), (WORDS, None), (None, None))[party.index]
    return tag_join(party, IdLists((0, 1), (4, 5), 1), *inputs)


def _rows(words: Boolean) -> Rows:
    return Rows((SortKey(words, 3),))


TRANSCRIPTS: dict[str, tuple[Program, Sequence[Opening], str]] = {
    "sorted_places": (
        lambda p, x: sorted_places(p, [SortKey(x, 5)], "s"),
        sort_openings("s", 5, [5]),
        "02e4b33f669a7878c6df62aa741537a845ea0375dfa5720dc004099bf352f2d0",
    ),
    "group_rows": (
        lambda p, x: group_rows(
            p, _rows(x), order=[SortKey(x, 2)], sums=[constant(p, 2, x.shape)], prefix="g"
        ),
        group_openings("g", 5, [3, 2]),
        "25f7d86be2e2669df646295682940f13ef3a04146d292939a8fbbb0e2070964f",
    ),
    "windows": (
        lambda p, x: window_columns(p, sort_windows(p, _rows(x), [SortKey(x, 2)], prefix="w"), [RANK], "w"),
        (*row_openings("w", 5, [3, 2]), *window_openings("w", 5, [RANK])),
        "3cffa0d000a9e35f1035677990b2e1c858b2c84775c8a7ad378f8d8d67607a90",
    ),
    "group_select": (
        lambda p, x: group_select(p, _rows(x), SortKey(x, 2), [UPPER_MEDIAN], columns=[x], prefix="m"),
        select_openings("m", 5, [3, 2], [UPPER_MEDIAN]),
        "a83e5f82b325eb4d6b47e1c8ee7dabd34eebea38f2bb7b0a34794b3ac79ff224",
    ),
    "join": (
        lambda p, x: join(p, LeftTable(Rows((SortKey(x[1:], 3),)), (x[1:],)), Rows((SortKey(x, 3),)), "j"),
        join_openings("j", (4, 5), [3]),
        "58d64de81f4ea705ec497d9c704a064b5624218231863e65fc5e03abd81d4075",
    ),
    "tag_join": (_tag_join, (), "632cca3116a6d519839fc132995a93cf317f5ca7c294a7bbfd8b8341b69e7d03"),
    "kth_ranked": (
        lambda p, _: kth_ranked(p, counts_at_most(WORDS), 7, 8, "k"),
        kth_openings("k", 8),
        "73c5190e08fd29b03fb12cc4de761fba268e1328dd142a966e7e715e1cede3c4",
    ),
}


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_frames_are_those_of_the_recorded_transcript(name: str) -> None:
    program, openings, expected = TRANSCRIPTS[name]
    first, second = np.arange(5, dtype=np.uint32) * 0x01234567, np.arange(5, dtype=np.uint32) * 0x89ABCDEF
    third = WORDS ^ first ^ second
    shares = (Boolean(first, second), Boolean(second, third), Boolean(third, first))
    session = run(lambda party: program(party, shares[party.index]), Manifest(tuple(openings)))
    digest = hashlib.sha256()
    for frame in (frame for sent in session.frames for frame in sent):
        digest.update(bytes([frame.sender, frame.to]) + len(frame.raw).to_bytes(8, "little") + frame.raw)
    assert digest.hexdigest() == expected
