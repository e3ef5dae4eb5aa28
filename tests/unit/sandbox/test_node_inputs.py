"""How the parts of a joint plan cross between nodes: all arrive, with little room on the way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest

from mpc.party import FRAMES_AHEAD
from records.errors import EvidenceError, LimitExceeded, PeerUnavailable, SourceUnreadable
from sandbox.joint import sharing
from sandbox.joint.inputs import encode_part
from sandbox.joint.run import JointInput
from sandbox.node.inputs import encode_own, exchange_inputs
from sandbox.sql.plan import LocalPart, PartColumn
from sandbox.sql.steps import Column
from tests.unit.mpc.three_parties import words_of

NODES = ("alice", "bob", "carol", "dora")
SEATS = ("bob", "alice", "carol")
CONTEXT = bytes(32)
TIMEOUT_S = 5.0


def part(provider: str, rows: int) -> LocalPart:
    columns = (
        PartColumn(Column("x", "number", 64), "number", ("x",), "BIGINT", high=1 << 40),
        PartColumn(Column("k", "key", 9), "code", ("x",), "BIGINT"),
    )
    return LocalPart(provider, ((f"{provider}.t", "t"),), provider, rows, columns)


PARTS = (part("alice", 300), part("dora", 200), part("bob", 7), part("dora", 500))


def rows_of(each: LocalPart) -> Iterator[pa.RecordBatch]:
    yield from pa.table({"x": np.arange(each.rows // 2) + len(each.provider)}).to_batches(max_chunksize=50)


class Crowded:
    """A mesh whose links hold few frames each, like a wire."""

    def __init__(self, node: str, links: dict[tuple[str, str], queue.Queue[bytes]]) -> None:
        self._node = node
        self._links = links

    def send(self, peer: str, frame: bytes | memoryview) -> None:
        try:
            self._links[self._node, peer].put(bytes(frame), timeout=TIMEOUT_S)
        except queue.Full:
            raise PeerUnavailable("the peer takes nothing") from None

    def receive(self, peer: str) -> bytes:
        try:
            return self._links[peer, self._node].get(timeout=TIMEOUT_S)
        except queue.Empty:
            raise PeerUnavailable("the peer sends nothing") from None

    def close(self) -> None:
        raise AssertionError("not closed here")

    abort = close


def exchanged(room: int = FRAMES_AHEAD + 1) -> dict[str, list[JointInput]]:
    """Let all nodes exchange their inputs; raise the first error."""
    links = {(x, y): queue.Queue[bytes](room) for x in NODES for y in NODES if x != y}
    held: dict[str, list[JointInput]] = {}
    errors: list[BaseException] = []

    def work(node: str) -> None:
        try:
            own = encode_own(PARTS, node, rows_of, CONTEXT)
            held[node] = exchange_inputs(Crowded(node, links), node, SEATS, PARTS, own)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(node,)) for node in NODES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    assert all(queue.empty() for queue in links.values())
    return held


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "FRAME_BYTES", 64)


def test_every_seat_holds_its_shares_of_every_part() -> None:
    held = exchanged()
    assert held["dora"] == []
    for number, each in enumerate(PARTS):
        shares = [held[seat][number] for seat in SEATS]
        plain = encode_part(each, rows_of(each), CONTEXT)
        columns = zip(*(share.table.columns(("x", "k")) for share in shares), strict=True)
        assert all(map(np.array_equal, map(words_of, columns), plain.columns))
        assert words_of([share.table.valid for share in shares]).sum() == each.rows // 2
        assert words_of([share.faulty for share in shares]).tolist() == [0]


def test_with_less_room_than_declared_nodes_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.sandbox.test_node_inputs.TIMEOUT_S", 0.5)
    assert max(len(list(sharing.frame_bytes(each, 1))) for each in PARTS) > 2 * FRAMES_AHEAD
    with pytest.raises(PeerUnavailable):
        exchanged(room=1)


@pytest.mark.parametrize("fault", [LimitExceeded("too many"), SourceUnreadable("damaged")])
def test_a_part_that_fails_enters_empty_and_faulty_and_of_the_same_size(fault: Exception) -> None:
    def failing(each: LocalPart) -> Iterator[pa.RecordBatch]:
        yield from rows_of(each)
        raise fault

    own = encode_own(PARTS, "dora", failing, CONTEXT)
    assert sorted(own) == [1, 3]
    for number, plain in own.items():
        assert plain.faulty
        assert not plain.valid.any()
        assert [words.size for words in plain.columns] == [PARTS[number].rows] * 2


def test_an_input_that_is_cut_short_is_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = sharing.input_frames

    def cut(*arguments: object) -> Iterator[Sequence[bytes]]:
        for frames in sent(*arguments):  # type: ignore[arg-type]
            yield [frame[: max(1, len(frame) - 1)] if frame else frame for frame in frames]

    monkeypatch.setattr("sandbox.node.inputs.input_frames", cut)
    with pytest.raises(EvidenceError):
        exchanged()
