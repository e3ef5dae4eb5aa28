"""Inputs cross to three parties: what they hold sums up, has the declared size, and alone is random."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from records.errors import EvidenceError
from sandbox.joint import sharing
from sandbox.joint.inputs import PlainInput, encode_part
from sandbox.joint.sharing import InputShares, frame_bytes, input_bytes, input_frames, share_input
from sandbox.sql.plan import LocalPart, PartColumn
from sandbox.sql.steps import Column
from tests.unit.mpc.three_parties import words_of

ROWS = 50
COLUMNS = (
    PartColumn(Column("n", "number", 64), "number", ("x",), "BIGINT", low=-100, high=100),
    PartColumn(Column("b", "bit", 1), "known", ("x",), "BIGINT"),
    PartColumn(Column("k", "key", 11), "value", ("x",), "BIGINT", low=-100, high=100),
    PartColumn(Column("p", "payload", 128), "payload", ("t",), "VARCHAR"),
)
PART = LocalPart("p", (), "", ROWS, COLUMNS)


def plain() -> PlainInput:
    table = pa.table({"x": pa.array([*range(-20, 19), None]), "t": ["text"] * 40})
    return encode_part(PART, table.to_batches(), bytes(32))


@pytest.fixture(autouse=True, params=[1 << 18, 64])
def frames_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "FRAME_BYTES", request.param)


def flat(shares: Any) -> list[Any]:
    table = shares.table
    return [shares.faulty, table.valid, *(part for name in table.parts for part in table.parts[name])]


@pytest.mark.parametrize("faulty", [False, True])
def test_the_three_shares_sum_up_to_what_was_put_in(faulty: bool) -> None:
    put_in = PlainInput(plain().columns, plain().valid, faulty)
    found = [
        words_of(pieces)
        for pieces in zip(*map(flat, share_input(PART, put_in, secrets.token_bytes)), strict=True)
    ]
    expected = [np.array([faulty]), put_in.valid, *put_in.columns]
    assert all(np.array_equal(x, y) for x, y in zip(found, expected, strict=True))


def test_frames_have_the_sizes_that_follow_from_the_part() -> None:
    sent = list(input_frames(PART, plain(), secrets.token_bytes))
    for party in range(3):
        assert [len(frames[party]) for frames in sent] == list(frame_bytes(PART, party))
    assert sum(len(frame) for frames in sent for frame in frames) == input_bytes(PART)
    words = 1 + ROWS * (1 + 8 + 1 + 2 + 16)
    assert input_bytes(PART) == 4 * 16 + 2 * words


def test_what_one_party_is_sent_does_not_depend_on_the_rows_as_far_as_it_can_tell() -> None:
    zeros = b"".join(b"".join(frames) for frames in input_frames(PART, plain(), bytes))
    again = b"".join(b"".join(frames) for frames in input_frames(PART, plain(), bytes))
    other = b"".join(b"".join(frames) for frames in input_frames(PART, plain(), secrets.token_bytes))
    assert zeros == again  # the control: with known seeds nothing is hidden
    assert zeros != other
    # With fresh seeds the words of equal rows differ: 40 rows have one text, and no two frames' words agree.
    *_, words = flat(share_input(PART, plain(), secrets.token_bytes)[1])
    assert len(np.unique(words.next)) == ROWS


@pytest.mark.parametrize("party", [0, 1, 2])
@pytest.mark.parametrize("change", ["longer", "shorter", "missing", "more"])
def test_an_input_of_another_length_is_evidence(party: int, change: str) -> None:
    frames = [each[party] for each in input_frames(PART, plain(), secrets.token_bytes) if each[party]]
    match change:
        case "longer":
            frames[-1] += b"\0"
        case "shorter":
            frames[-1] = frames[-1][:-1]
        case "missing":
            frames.pop()
        case "more":
            frames.append(b"\0")
    with pytest.raises(EvidenceError):
        InputShares(party, PART, list(frames)).finished()
