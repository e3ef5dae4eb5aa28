"""Each row of `docs/mpc-deviations.md`: what one deviating party does is seen, or goes unseen, as it says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mpc.link import Link
from mpc.party import PairKeys
from mpc.transcript import Audit, RecordingLink, replay
from records.errors import EvidenceError, PeerUnavailable, UsufructError
from tests.adversarial.attack import Attack
from tests.adversarial.deviations import ATTACKS, DEVIATIONS, TOTAL, minima, outcome
from tests.unit.mpc.three_parties import KEYS, run

PAGE = Path(__file__).parents[2] / "docs" / "mpc-deviations.md"
UNSEEN = [name for name, deviation in DEVIATIONS.items() if not deviation.seen]
SEEN = [name for name, deviation in DEVIATIONS.items() if deviation.seen]
CHANGED = [name for name, deviation in DEVIATIONS.items() if deviation.change]


@pytest.mark.parametrize("name", UNSEEN)
def test_unseen(name: str) -> None:
    deviation = DEVIATIONS[name]
    ended = outcome(deviation)
    assert isinstance(ended, tuple), f"this is seen now ({ended}): say so in the table"
    victims = [value for index, value in enumerate(ended) if index != deviation.cheat]
    assert victims[0] == victims[1], "the honest parties agree"
    assert victims[0] != deviation.honest, "on another value than the right one"


@pytest.mark.parametrize("name", SEEN)
def test_seen(name: str) -> None:
    deviation = DEVIATIONS[name]
    ended = outcome(deviation)
    assert isinstance(ended, UsufructError), "this goes unseen now: say so in the table"
    assert deviation.seen in str(ended)


@pytest.mark.parametrize("name", CHANGED)
def test_control_the_same_job_without_the_change_ends_well(name: str) -> None:
    deviation = DEVIATIONS[name]
    honest = dataclasses.replace(deviation, change=None)
    assert outcome(honest) == (deviation.honest,) * 3


@pytest.mark.parametrize("name", CHANGED)
def test_a_replay_of_the_party_finds_its_step_and_convicts_nobody_else(name: str) -> None:
    deviation = DEVIATIONS[name]
    links: dict[int, RecordingLink] = {}

    def record(link: Link) -> Link:
        links[link.party] = RecordingLink(link, keep_received=True)
        return links[link.party]

    outcome(deviation, record)
    for i in range(3):
        keys = PairKeys(KEYS[i], KEYS[(i + 1) % 3])
        audit = Audit(i, keys, deviation.manifest, links[i].recording, links[i].heads)
        if i == deviation.cheat:
            with pytest.raises(EvidenceError, match=rf"what party {i} sent .* in the step `{deviation.at}`"):
                replay(audit, deviation.job)
        else:
            replay(audit, deviation.job)


class Mutating:
    """A party's link that changes its frame number `place`, keeping what it computed."""

    def __init__(self, link: Link, place: int, mutate: Callable[[list[bytes]], bytes | None]) -> None:
        self._link = link
        self._place = place
        self._mutate = mutate
        self._sent: list[bytes] = []
        self.party = link.party
        self.receive = link.receive

    def send(self, to: int, frame: bytes | memoryview) -> None:
        self._sent.append(bytes(frame))
        changed = self._mutate(self._sent) if len(self._sent) == self._place + 1 else self._sent[-1]
        if changed is not None:
            self._link.send(to, changed)


LENGTHS: dict[str, Callable[[list[bytes]], bytes | None]] = {
    "dropped": lambda sent: None,
    "truncated": lambda sent: sent[-1][:-1],
    "oversized": lambda sent: sent[-1] + bytes(1),
}
CONTENTS: dict[str, Callable[[list[bytes]], bytes | None]] = {
    "flipped": lambda sent: bytes([sent[-1][0] ^ 1]) + sent[-1][1:],
    "plus 2^63": lambda sent: sent[-1][:-1] + bytes([sent[-1][-1] ^ 128]),
    "zeroed": lambda sent: bytes(len(sent[-1])),
    "replayed": lambda sent: next((f for f in sent[-2::-1] if len(f) == len(sent[-1])), sent[-1][::-1]),
}


@pytest.mark.parametrize("name", [*LENGTHS, *CONTENTS])
@pytest.mark.parametrize("cheat", [0, 1, 2])
def test_any_message_of_a_party_can_be_changed_without_the_others_disagreeing(cheat: int, name: str) -> None:
    """A length is always seen. Other contents may not be, but then the job ends alike for both others."""
    mutate = {**LENGTHS, **CONTENTS}[name]
    frames = len(run(minima, TOTAL).frames[cheat])
    assert frames > 10
    unseen, stops = 0, []
    for place in range(frames):
        try:
            results = run(
                minima,
                TOTAL,
                wrap=lambda link, at=place: Mutating(link, at, mutate) if link.party == cheat else link,  # type: ignore[misc]
                timeout_s=0.05 if name == "dropped" else 5,
            ).results
        except (EvidenceError, PeerUnavailable) as stop:
            stops.append(str(stop))
            continue
        unseen += 1
        assert len({results[i] for i in range(3) if i != cheat}) == 1
    assert all("in the step `" in stop or "hold different shares" in stop for stop in stops)
    assert (unseen == 0) == (name in LENGTHS)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_what_is_seen_is_seen_by_its_check(attack: Attack) -> None:
    assert attack.attack(False), "without the check it goes through"
    assert not attack.attack(True)


def test_the_table_has_a_row_for_every_test_and_says_what_it_shows() -> None:
    rows = re.findall(
        r"^\| `([\w-]+)` \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE
    )
    due = [
        (name, each.step, each.does, "yes" if each.seen else "**no**", each.effect)
        for name, each in DEVIATIONS.items()
    ]
    assert rows == due
