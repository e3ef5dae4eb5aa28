from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from mpc.comparison import less_than
from mpc.link import Link
from mpc.manifest import Manifest, Opening
from mpc.multiplication import multiply
from mpc.opening import open_to_parties
from mpc.party import PairKeys, Party
from mpc.sharing import decode
from mpc.transcript import Audit, Chain, Head, Recording, RecordingLink, compare, replay
from records.errors import EvidenceError, PeerUnavailable, UsufructError
from tests.unit.mpc.three_parties import KEYS, run, shared

ACCEPTED = Manifest((Opening("result", "parties", None),))
INPUTS = shared([3, -4, 5]), shared([2, 9, -1])


def job(party: Party) -> list[int]:
    x, y = (column[party.index] for column in INPUTS)
    smaller = less_than(party, x, y)
    opened = open_to_parties(party, multiply(party, smaller, x), "result")
    party.finish()
    return [int(value) for value in decode(opened)]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A session whose parties recorded, with what an auditor of each would be given."""

    results: Sequence[list[int]]
    audits: Sequence[Audit]

    @property
    def heads(self) -> dict[int, Sequence[Head]]:
        return {audit.index: audit.signed for audit in self.audits}


class Altering:
    """Computes as it should, but changes the first byte of one frame it sends."""

    def __init__(self, link: Link, place: int) -> None:
        self._link = link
        self._place = place
        self._sent = 0
        self.party = link.party
        self.receive = link.receive

    def send(self, to: int, frame: bytes | memoryview) -> None:
        raw = bytearray(frame)
        if self._sent == self._place and raw:
            raw[0] ^= 1
        self._sent += 1
        self._link.send(to, bytes(raw))


def recorded(
    program: Callable[[Party], list[int]] = job,
    *,
    above: Callable[[Link], Link] = lambda link: link,
    beneath: Callable[[Link], Link] = lambda link: link,
    timeout_s: float = 20,
) -> Recorded:
    """Run the program; `above` changes frames before they are recorded, `beneath` after that."""
    links: dict[int, RecordingLink] = {}

    def wrap(link: Link) -> Link:
        links[link.party] = RecordingLink(beneath(link), keep_received=True)
        return above(links[link.party])

    try:
        results = run(program, ACCEPTED, wrap=wrap, timeout_s=timeout_s).results
    except UsufructError:
        results = ([], [], [])
    audits = [
        Audit(i, PairKeys(KEYS[i], KEYS[(i + 1) % 3]), ACCEPTED, links[i].recording, links[i].heads)
        for i in range(3)
    ]
    return Recorded(results, audits)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_honest_party_passes_its_audit_with_the_same_result(index: int) -> None:
    session = recorded()
    compare(session.heads)
    ended = replay(session.audits[index], job)
    assert ended.result == session.results[index] == [0, -4, 0]
    assert ended.error is None


@pytest.mark.parametrize("cheat", [0, 1, 2])
def test_every_frame_that_a_party_changes_is_found_with_its_step_and_peer(cheat: int) -> None:
    frames = [head.frames for head in recorded().audits[cheat].signed if head.direction == "sent"]
    assert sum(frames) > 10
    steps = set()
    for place in range(sum(frames)):
        altering = functools.partial(Altering, place=place)
        session = recorded(above=lambda link, wrap=altering: wrap(link) if link.party == cheat else link)  # type: ignore[misc]
        with pytest.raises(
            EvidenceError, match=rf"what party {cheat} sent party \d in the step `[^`]+`"
        ) as found:
            replay(session.audits[cheat], job)
        steps.add(str(found.value).split("`")[1])
        for honest in {0, 1, 2} - {cheat}:
            replay(session.audits[honest], job)
    assert {"multiply", "open result"} <= steps


def test_control_without_a_replay_a_product_changed_and_kept_goes_unseen() -> None:
    class Keeping(Altering):
        def send(self, to: int, frame: bytes | memoryview) -> None:
            if self._sent == self._place:
                memoryview(frame)[0] ^= 1  # the party's own share, of which the frame is a view
            self._sent += 1
            self._link.send(to, frame)

    honest = recorded()
    product = sum(head.frames for head in honest.audits[0].signed if head.direction == "sent") - 3
    session = recorded(above=lambda link: Keeping(link, product) if link.party == 0 else link)
    compare(session.heads)
    assert session.results[0] == session.results[1] == session.results[2]
    assert session.results[0] not in ([], honest.results[0])
    with pytest.raises(EvidenceError, match="in the step `multiply`"):
        replay(session.audits[0], job)


@pytest.mark.parametrize("cheat", [0, 1, 2])
def test_a_party_that_signs_other_frames_than_it_sent_contradicts_its_peer(cheat: int) -> None:
    session = recorded(beneath=lambda link: Altering(link, 1) if link.party == cheat else link)
    with pytest.raises(EvidenceError, match=rf"parties {cheat} and \d signed different frames"):
        compare(session.heads)
    compare(recorded().heads)


def test_a_party_that_shows_other_frames_than_it_signed_is_found() -> None:
    honest = recorded().audits[1]
    received = {peer: list(frames) for peer, frames in honest.recording.received.items()}
    received[2][0] = bytes(len(received[2][0]))
    shown = replace(honest, recording=Recording(received, honest.recording.sent_links))
    with pytest.raises(EvidenceError, match="kept of party 2 are not those it signed"):
        replay(shown, job)


def test_other_inputs_than_in_the_session_are_found() -> None:
    session = recorded()
    other = shared([3, -4, 6])

    def with_other_input(party: Party) -> list[int]:
        return [int(v) for v in decode(multiply(party, other[party.index], other[party.index]).own)]

    with pytest.raises(EvidenceError, match="does not follow"):
        replay(session.audits[0], with_other_input)


def test_frames_beyond_the_program_are_found() -> None:
    audit = recorded().audits[0]

    def shorter(party: Party) -> list[int]:
        less_than(party, INPUTS[0][party.index], INPUTS[1][party.index])
        return []

    with pytest.raises(EvidenceError, match="signed more frames"):
        replay(audit, shorter)


def test_a_signed_head_to_which_the_frames_do_not_lead_is_found() -> None:
    audit = recorded().audits[0]
    peer = 2
    head = audit.head(peer, "sent")
    forged = replace(head, digest=bytes(32))
    with pytest.raises(EvidenceError, match=f"signed more frames to party {peer} than follow"):
        replay(replace(audit, signed=[forged if h is head else h for h in audit.signed]), job)


def test_a_session_cut_short_is_replayed_as_far_as_it_went() -> None:
    def failing(party: Party) -> list[int]:
        less_than(party, INPUTS[0][party.index], INPUTS[1][party.index])
        if party.index == 2:
            raise PeerUnavailable("power cut")
        return job(party)

    session = recorded(failing, timeout_s=5)
    ended = replay(session.audits[0], failing)
    assert isinstance(ended.error, PeerUnavailable)
    assert ended.result is None


def test_a_party_signs_one_head_for_each_channel() -> None:
    session = recorded()
    heads = session.audits[0].signed
    assert [(head.peer, head.direction) for head in heads] == [
        (1, "received"),
        (1, "sent"),
        (2, "received"),
        (2, "sent"),
    ]
    for broken in (heads[1:], [*heads, heads[0]]):
        with pytest.raises(EvidenceError, match="party 0 did not sign one head"):
            compare({**session.heads, 0: broken})


def test_the_chain_is_the_documented_one() -> None:
    chain = Chain()
    assert chain.head == bytes(32)
    chain.extend(b"ab")
    first = hashlib.sha256(bytes(32) + (0).to_bytes(8, "little") + (2).to_bytes(8, "little") + b"ab").digest()
    chain.extend(memoryview(b""))
    second = hashlib.sha256(first + (1).to_bytes(8, "little") + (0).to_bytes(8, "little")).digest()
    assert chain.links == [first, second]
    assert chain.size_bytes == 2


def test_a_session_whose_frames_were_not_kept_cannot_be_replayed() -> None:
    class Silent:
        party = 0

    with pytest.raises(EvidenceError, match="not kept"):
        _ = RecordingLink(Silent()).recording  # type: ignore[arg-type]


def test_nothing_secret_shows_in_a_repr() -> None:
    audit = recorded().audits[0]
    assert repr(audit) == "Audit(index=0)"
    assert repr(audit.recording) == "Recording(…)"
