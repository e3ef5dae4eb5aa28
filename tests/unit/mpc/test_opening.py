from __future__ import annotations

import numpy as np
import pytest

from mpc.link import Link
from mpc.manifest import Ledger, Manifest, Opening
from mpc.multiplication import reshare, share_input
from mpc.opening import open_to_buyer, open_to_parties
from mpc.party import Party
from mpc.prg import Words
from mpc.sharing import WORD32, Arithmetic, decode, from_bytes, reconstruct
from records.errors import EvidenceError, MalformedDocument, PeerUnavailable
from tests.unit.mpc.three_parties import run, shared, values_of

ACCEPTED = Manifest((Opening("count", "parties", (2,)), Opening("result", "buyer", None)))


def test_accepted_openings_reveal_the_value_and_settle_the_ledger() -> None:
    count, result = shared([7, -8]), shared([[1, 2], [3, -(1 << 63)]])

    def program(party: Party) -> tuple[list[int], tuple[bytes, bytes]]:
        opened = open_to_parties(party, count[party.index], "count")
        sealed = open_to_buyer(party, result[party.index], "result")
        party.finish()
        assert [entry.shape for entry in party.ledger.entries] == [(2,), (2, 2)]
        return decode(opened).tolist(), sealed

    session = run(program, ACCEPTED)
    assert all(opened == [7, -8] for opened, _ in session.results)
    shares = [sealed for _, sealed in session.results]
    assert all(shares[i][1] == shares[(i + 1) % 3][0] for i in range(3))
    words = reconstruct(*(from_bytes(own, (2, 2)) for own, _ in shares))
    assert decode(words).tolist() == [[1, 2], [3, -(1 << 63)]]


def test_narrow_columns_are_opened_in_their_own_width() -> None:
    values = [-(1 << 31), -1, 0, (1 << 31) - 1]
    x = shared(values, WORD32)
    manifest = Manifest((Opening("count", "parties", (4,)), Opening("result", "buyer", (4,))))

    def program(party: Party) -> tuple[list[int], tuple[bytes, bytes]]:
        opened = open_to_parties(party, x[party.index], "count")
        return decode(opened).tolist(), open_to_buyer(party, x[party.index], "result")

    results = run(program, manifest).results
    assert all(opened == values for opened, _ in results)
    words = reconstruct(*(from_bytes(own, (4,), WORD32) for _, (own, _) in results))
    assert decode(words).tolist() == values


@pytest.mark.parametrize(
    ("manifest", "openings", "reason"),
    [
        (Manifest(), [("parties", "count", 2)], "lacks"),
        (ACCEPTED, [("buyer", "count", 2)], "other receivers"),
        (ACCEPTED, [("parties", "count", 3)], "another shape"),
        (ACCEPTED, [("parties", "count", 2), ("parties", "count", 2)], "already happened"),
        (ACCEPTED, [("buyer", "result", 2)], "out of the order"),
    ],
)
def test_an_opening_that_was_not_accepted_is_refused_before_anything_is_sent(
    manifest: Manifest, openings: list[tuple[str, str, int]], reason: str
) -> None:
    def program(party: Party) -> int:
        *accepted, refused = openings
        for entry in accepted:
            perform(party, *entry)
        with pytest.raises(EvidenceError, match=reason):
            perform(party, *refused)
        return party.rounds

    session = run(program, manifest)
    assert session.results == (len(openings) - 1,) * 3
    assert sum(map(len, session.frames)) == 6 * (len(openings) - 1)


def perform(party: Party, receivers: str, opening_id: str, size: int) -> None:
    zeros = np.zeros(size, dtype=np.uint64)
    x = Arithmetic(zeros, zeros)
    if receivers == "parties":
        open_to_parties(party, x, opening_id)
    else:
        open_to_buyer(party, x, opening_id)


def test_a_session_that_opened_less_than_accepted_does_not_finish() -> None:
    ledger = Ledger(ACCEPTED)
    with pytest.raises(EvidenceError, match="`count` did not happen"):
        ledger.finish()
    ledger.post("count", "parties", (2,))
    with pytest.raises(EvidenceError, match="`result` did not happen"):
        ledger.finish()
    ledger.post("result", "buyer", (9, 9))
    ledger.finish()


def test_a_manifest_is_well_formed() -> None:
    with pytest.raises(MalformedDocument):
        Manifest((Opening("a", "buyer", None), Opening("a", "parties", None)))
    with pytest.raises(MalformedDocument):
        Opening("a", "exchange", None)  # type: ignore[arg-type]
    with pytest.raises(MalformedDocument):
        Opening("", "buyer", None)


def naive_open(party: Party, x: Arithmetic) -> Words:
    """Open without the digest of the second holder: the control of the attack below."""
    received = party.exchange("open", {party.next: x.own}, {party.previous: (x.shape, x.dtype)})
    return reconstruct(x.own, x.next, received[party.previous])


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_a_party_that_sends_another_share_is_found_by_the_other_holder(liar: int) -> None:
    x = shared([41])

    def lying(party: Party) -> Arithmetic:
        share = x[party.index]
        return Arithmetic(share.own + np.uint64(party.index == liar), share.next)

    opened = run(lambda party: decode(naive_open(party, lying(party))).tolist()).results
    assert opened[(liar + 1) % 3] == [42], "without the check the honest party takes the wrong value"

    manifest = Manifest((Opening("count", "parties", (1,)),))
    found = rf"parties {liar} and {(liar + 2) % 3} hold different shares at the opening `count`"
    with pytest.raises(EvidenceError, match=found):
        run(lambda party: open_to_parties(party, lying(party), "count"), manifest)


def test_the_buyer_cannot_tell_apart_summands_that_parties_know() -> None:
    # Shares (s, v − s, w) of v + w would show w to whoever sees all three: refreshing hides it.
    def program(party: Party, *, fresh: bool) -> tuple[bytes, bytes]:
        v = share_input(party, [30] if party.index == 0 else None, 0, (1,))
        zero, w = np.zeros(1, dtype=np.uint64), np.full(1, 12, dtype=np.uint64)
        x = v + (Arithmetic(zero, zero), Arithmetic(zero, w), Arithmetic(w, zero))[party.index]
        if not fresh:
            return x.own.tobytes(), x.next.tobytes()
        return open_to_buyer(party, x, "sum")

    manifest = Manifest((Opening("sum", "buyer", (1,)),))
    raw = run(lambda party: program(party, fresh=False)).results
    assert raw[2][0] == np.uint64(12).tobytes(), "unrefreshed, the third share is w itself"
    refreshed = run(lambda party: program(party, fresh=True), manifest).results
    shares = [from_bytes(own, (1,)) for own, _ in refreshed]
    assert all(12 not in share and 30 not in share for share in shares)
    assert decode(reconstruct(*shares)).tolist() == [42]


@pytest.mark.parametrize("change", [b"", b"\x00"])
def test_a_frame_of_another_length_stops_the_round(change: bytes) -> None:
    class Resizing:
        def __init__(self, link: Link) -> None:
            self._link = link
            self.party = link.party
            self.receive = link.receive

        def send(self, to: int, frame: bytes | memoryview) -> None:
            self._link.send(to, bytes(frame) + change if change else bytes(frame)[:-1])

    x = shared([1])
    with pytest.raises(EvidenceError, match="8 were due"):
        run(lambda party: reshare(party, Arithmetic, x[party.index].own), wrap=Resizing)
    honest = run(lambda party: reshare(party, Arithmetic, x[party.index].own))
    assert values_of(honest.results).tolist() == [1]


def test_a_party_that_fails_wakes_the_others() -> None:
    def program(party: Party) -> None:
        if party.index == 1:
            raise RuntimeError("power cut")
        with pytest.raises(PeerUnavailable):
            party.exchange("wait", {}, {1: ((1,), np.dtype(np.uint64))})

    with pytest.raises(RuntimeError, match="power cut"):
        run(program)
