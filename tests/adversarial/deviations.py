"""R24: what one deviating compute party can change unseen, step by step; `docs/mpc-deviations.md` shows it.

A party deviates in one message: it sends something else than it computed, and either keeps what it computed
(its copy of the share then differs from its peer's) or keeps what it sent. No defence exists against the
unseen ones today, so they are no attacks of the registry, which have a defence to switch off.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from mpc.comparison import less_than
from mpc.conversion import select
from mpc.link import Link
from mpc.manifest import Manifest, Opening
from mpc.matching.intersection import IdLists, intersection
from mpc.matching.tags import Tags
from mpc.multiplication import constant, multiply, share_input
from mpc.noise.mechanisms import discrete_laplace
from mpc.opening import open_to_buyer, open_to_parties
from mpc.party import Party
from mpc.prg import Words
from mpc.relational.shuffle import shuffle
from mpc.sharing import Arithmetic, decode, from_bytes, reconstruct
from records.errors import EvidenceError, UsufructError
from tests.adversarial.attack import suite
from tests.adversarial.walls import Wall, standing
from tests.unit.mpc.three_parties import run

Job = Callable[[Party], int]
Change = Callable[[Words], Words]
TOTAL = Manifest((Opening("total", "parties", (1,)),))
RESULT = Manifest((Opening("result", "buyer", (1,)),))
X, Y = [3, 9, -4, 7], [5, 2, -4, 8]
SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Deviation:
    """One row of the table. `seen` holds words of the error that stops the job; empty: nothing does."""

    step: str
    does: str
    effect: str
    job: Job
    seen: str = ""
    cheat: int = 0
    change: Change | None = None
    """What is done to the message that the cheat sends in the step; None: the job itself deviates."""
    at: str = ""
    """The name of the step in the protocol."""
    keeps: bool = True
    nth: int = 0
    honest: int = 0
    """What every party gets where nobody deviates."""
    manifest: Manifest = TOTAL


class Deviating:
    """A party's link that changes the words of one step."""

    def __init__(self, link: Link, deviation: Deviation) -> None:
        self._link = link
        self._deviation = deviation
        self._times = 0
        self.step = ""
        self.party = link.party
        self.receive = link.receive

    def enter(self, step: str) -> None:
        self.step = step
        self._times += step == self._deviation.at

    def send(self, to: int, frame: bytes | memoryview) -> None:
        change, view = self._deviation.change, memoryview(frame)
        if change and self.step == self._deviation.at and self._times == self._deviation.nth + 1:
            words = np.frombuffer(view, dtype="<u8" if len(view) % 8 == 0 else "u1")
            changed = change(words).tobytes()
            if self._deviation.keeps:
                view[:] = changed  # the frame is a view of the party's own share
            frame = changed
        self._link.send(to, frame)


def outcome(
    deviation: Deviation, record: Callable[[Link], Link] = lambda link: link
) -> tuple[int, ...] | UsufructError:
    """Run the job with its cheat; return what each party made of it, or the error that came first.

    `record` wraps the links beneath, where frames are what is sent.
    """
    links: dict[int, Deviating] = {}

    def wrap(link: Link) -> Link:
        links[link.party] = Deviating(record(link), deviation)
        return links[link.party]

    def program(party: Party) -> int:
        if party.index == deviation.cheat:
            honest = party.exchange

            def exchange(step: str, *arguments: Any) -> Any:
                links[party.index].enter(step)
                return honest(step, *arguments)

            party.exchange = exchange  # type: ignore[assignment, method-assign]
        return deviation.job(party)

    try:
        return run(program, deviation.manifest, wrap=wrap, timeout_s=SECONDS).results
    except UsufructError as error:
        return error


def opened(party: Party, rows: Arithmetic) -> int:
    return int(decode(open_to_parties(party, rows.map(lambda w: w.sum(keepdims=True)), "total"))[0])


def inputs(party: Party, x: Sequence[int] = X) -> tuple[Arithmetic, Arithmetic]:
    return (
        share_input(party, x if party.index == 0 else None, 0, (4,)),
        share_input(party, Y if party.index == 1 else None, 1, (4,)),
    )


def minima(party: Party) -> int:
    """Sum the smaller of two numbers over shuffled rows: 3 + 2 − 4 + 7."""
    x, y = inputs(party)
    rows = shuffle(party, [select(party, less_than(party, x, y), x, y)])[0]
    return opened(party, rows)


def minima_of_other_rows(party: Party) -> int:
    x, y = inputs(party, [-100, *X[1:]])
    return opened(party, select(party, less_than(party, x, y), x, y))


def product(party: Party) -> int:
    """Open the sum of x·y at once: 15 + 18 + 16 + 56."""
    return opened(party, multiply(party, *inputs(party)))


def noisy(party: Party) -> int:
    """Open 8 with noise of scale 1/50, which is 0 but with probability 10^−21."""
    return opened(party, constant(party, 8, (1,)) + discrete_laplace(party, (1,), Fraction(1, 50)))


def common(party: Party, *, ids: Mapping[int, Sequence[int]], columns: int = 0) -> int:
    """Open how many ids two lists share, or the sum of the first list's column over them."""
    lists = IdLists((0, 1), (3, 3), columns)
    values = [[10], [20], [30]] if columns and party.index == 0 else None
    both = intersection(party, lists, ids.get(party.index), values)
    return opened(party, both.sums if columns else both.size)


def for_the_buyer(party: Party) -> int:
    """Return what the buyer opens, 7, after comparing what two holders deliver of each share."""
    x = share_input(party, [7] if party.index == 0 else None, 0, (1,))
    own, following = (from_bytes(raw, (1,)) for raw in open_to_buyer(party, x, "result"))
    due = dict.fromkeys((party.previous, party.next), ((1,), own.dtype))
    delivered = party.exchange("deliver", {party.previous: own, party.next: following}, due)
    theirs = party.exchange("deliver", {party.previous: following, party.next: own}, due)
    if delivered[party.previous] != own or delivered[party.next] != following:
        raise EvidenceError("two holders differ in what they deliver to the buyer")
    return int(decode(reconstruct(own, following, theirs[party.next]))[0])


def silent(party: Party) -> int:
    if party.index == 0:
        return 0
    return product(party)


def unaccepted(party: Party) -> int:
    x, _ = inputs(party)
    return int(open_to_parties(party, x, "rows")[0])


def plus(amount: int, place: int = 0) -> Change:
    """Return a change that adds to one word."""

    def change(words: Words) -> Words:
        changed = words.copy()
        changed[place] += words.dtype.type(amount)
        return changed

    return change


def flip(place: int) -> Change:
    """Return a change that flips one bit of the packed bits."""

    def change(words: Words) -> Words:
        changed = words.copy()
        changed.view(np.uint8)[place // 8] ^= np.uint8(1 << place % 8)
        return changed

    return change


def repeat_first_tag(raw: Words) -> Words:
    """Send the first tag twice: 3 tags are 24 bytes of heads and 6 of tails."""
    changed = raw.view(np.uint8).copy()
    changed[8:16], changed[26:28] = changed[:8], changed[24:26]
    return changed


IDS: dict[int, Sequence[int]] = {0: [1, 2, 3], 1: [2, 3, 4]}
GUESSED: dict[int, Sequence[int]] = {0: [4, 2, 3], 1: [2, 3, 4]}
DIFFER = "hold different shares"


DEVIATIONS: dict[str, Deviation] = {
    "other-input": Deviation(
        "input", "enters another value than it has", "a result of other data", minima_of_other_rows, honest=8
    ),
    "input-not-kept": Deviation(
        "input",
        "sends another share than it keeps, and the value is used in a product",
        "a wrong result; the error is a share of the other factor",
        product,
        honest=105,
        at="input",
        change=plus(1),
        keeps=False,
    ),
    "product": Deviation(
        "product, inner product, matrix product",
        "adds to its part, and keeps that",
        "the product is off by what it chose",
        product,
        honest=105,
        at="multiply",
        change=plus(5),
    ),
    "product-not-kept": Deviation(
        "product that is opened next",
        "sends another share than it keeps",
        "none: the job ends",
        product,
        honest=105,
        seen=DIFFER,
        at="multiply",
        change=plus(5),
        keeps=False,
    ),
    "select": Deviation(
        "select",
        "adds to its part",
        "one row is off by what it chose",
        minima,
        honest=8,
        at="select",
        change=plus(5),
    ),
    "comparison": Deviation(
        "AND in a comparison or equality",
        "flips a bit of its part",
        "the answer of a row it chose is turned round",
        minima,
        honest=8,
        at="overflow",
        change=flip(1),
    ),
    "bit-to-number": Deviation(
        "bits to numbers",
        "adds to its part",
        "a bit becomes any number: thresholds and selections are off",
        minima,
        honest=8,
        at="bits to numbers",
        change=plus(10),
        cheat=1,
    ),
    "shuffle": Deviation(
        "shuffle",
        "adds to a row it cannot tell",
        "some row is off by what it chose",
        minima,
        honest=8,
        at="reshare",
        change=plus(3),
    ),
    "noise": Deviation(
        "noise",
        "flips its part of a coin",
        "the noise is shifted, or its law bent; who reads the result knows by how much",
        noisy,
        honest=8,
        at="bits to numbers",
        change=plus(4),
        cheat=2,
    ),
    "another-share": Deviation(
        "opening to the parties",
        "sends another share than it holds",
        "none: the job ends, and the two holders are named",
        product,
        honest=105,
        seen=DIFFER,
        at="open total",
        change=plus(1),
        keeps=False,
    ),
    "not-accepted": Deviation(
        "opening to the parties",
        "opens what was not accepted (here all three run its code)",
        "none: nothing is sent",
        unaccepted,
        seen="lacks the opening",
    ),
    "refresh": Deviation(
        "opening to the buyer",
        "adds to its part while the shares are refreshed, and keeps that",
        "the buyer opens another value",
        for_the_buyer,
        honest=7,
        manifest=RESULT,
        at="open result",
        change=plus(1),
    ),
    "refresh-not-kept": Deviation(
        "opening to the buyer",
        "sends another share than it keeps, or delivers another than it holds",
        "none: the buyer, and the exchange by digests, finds that two holders differ",
        for_the_buyer,
        honest=7,
        manifest=RESULT,
        seen="holders differ",
        at="open result",
        change=plus(1),
        keeps=False,
    ),
    "length": Deviation(
        "any",
        "sends a frame of another length",
        "none: the job ends, and step and party are named",
        product,
        honest=105,
        seen="in the step `multiply`: party 0 sent 33 bytes, 32 were due",
        at="multiply",
        change=lambda words: np.append(words.view(np.uint8), np.uint8(0)),
        keeps=False,
    ),
    "silence": Deviation(
        "any",
        "sends nothing",
        "none: the job ends, and the party is named",
        silent,
        seen="in the step `input`: party 0 sent nothing",
    ),
    "guessed-ids": Deviation(
        "intersection: tags",
        "enters ids it does not have",
        "the size tells whether the other has them",
        lambda party: common(party, ids=GUESSED),
        honest=2,
    ),
    "tag-twice": Deviation(
        "intersection: tags",
        "sends a tag twice, or tags out of order",
        "none: the helper ends the job",
        lambda party: common(party, ids=IDS),
        honest=2,
        seen="names one twice",
        at="tags",
        change=repeat_first_tag,
        keeps=False,
    ),
    "helper-size": Deviation(
        "intersection: matching",
        "as helper, enters another size",
        "any size",
        lambda party: common(party, ids=IDS),
        honest=2,
        at="input",
        change=plus(40),
        cheat=2,
    ),
    "helper-members": Deviation(
        "intersection: matching",
        "as helper, marks other rows than match",
        "a sum over rows it chose: of one row, if no gate follows",
        lambda party: common(party, ids=IDS, columns=1),
        honest=50,
        at="input",
        change=plus(1, 1),
        cheat=2,
        nth=1,
    ),
}
"""Every row of the table, by the name of its test."""


def other_share_at_an_opening(defended: bool) -> bool:
    """A party sends another share of an opened value, and its peer's digest tells."""
    unchecked: Wall = (hmac, "compare_digest", lambda *_: True)
    with standing(defended, unchecked):
        ended = outcome(DEVIATIONS["another-share"])
    return isinstance(ended, tuple)


def tag_that_is_repeated(defended: bool) -> bool:
    """A provider sends one tag several times to inflate an intersection."""
    trusting: Wall = (Tags, "from_words", _unchecked)
    with standing(defended, trusting):
        ended = outcome(DEVIATIONS["tag-twice"])
    return isinstance(ended, tuple)


def _unchecked(words: Words, tail: np.dtype[Any]) -> Tags:
    heads = words.size // (8 + tail.itemsize) * 8
    return Tags(words[:heads].view("u8"), words[heads:].view(tail))


ATTACKS = suite("R24 deviations", other_share_at_an_opening, tag_that_is_repeated)
