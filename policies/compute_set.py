"""Who computes: which parties terms accept, and the three seats of a secret-sharing job (R2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policies.terms import Terms
from policies.vocabulary import PartyKind
from records.errors import JobRefused, Reason

SEATS = 3
EVERY_NODE = "every node"
"""Who speaks in the reasons of this module: R2 is no provider's clause, each node checks it for itself."""


@dataclass(frozen=True, slots=True)
class PartyFacts:
    """What a party has declared, signed and logged. `controller` is its beneficial controller."""

    party: str
    kind: PartyKind
    region: str
    controller: str
    affiliates: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BuyerFacts:
    """The buyer with its beneficial controller and the controllers it is affiliated with."""

    party: str
    controller: str
    affiliates: frozenset[str] = frozenset()


def check_party(terms: Terms, party: PartyFacts, providers: Sequence[str]) -> tuple[Reason, ...]:
    """Return why `terms` do not accept `party` as a compute party of a job of `providers`."""
    reasons = []
    # The word `provider` covers the providers of this job: another one is a stranger with data of its own.
    stranger = party.kind == "provider" and party.party not in providers
    if party.kind not in terms.parties.accept or stranger:
        reasons.append(
            terms.reason(
                "parties.accept",
                wanted=f"{'another ' if stranger else ''}{party.kind} `{party.party}`",
                limit=", ".join(terms.parties.accept) or "none",
                remedy="choose compute parties of these kinds; a provider counts only in its own jobs",
            )
        )
    if not {"*", party.region}.intersection(terms.parties.regions):
        reasons.append(
            terms.reason(
                "parties.regions",
                wanted=f"`{party.party}` in {party.region}",
                limit=", ".join(terms.parties.regions) or "none",
                remedy="choose compute parties in these regions",
            )
        )
    return tuple(reasons)


def accepted(
    candidates: Sequence[PartyFacts], terms: Sequence[Terms], providers: Sequence[str]
) -> tuple[PartyFacts, ...]:
    """Return the candidates that all `terms` accept as compute parties."""
    return tuple(party for party in candidates if not any(check_party(t, party, providers) for t in terms))


def check_compute_set(
    parties: Sequence[PartyFacts], buyer: BuyerFacts, candidates: Sequence[PartyFacts]
) -> tuple[Reason, ...]:
    """Return each way in which `parties` break R2; none if they may hold the three shares.

    `candidates` are the accepted parties that the checking node knows of: the exchange may hold a seat
    only where no three of them could do without it.
    """
    reasons = []
    if len(parties) != SEATS:
        reasons.append(_reason("size", f"{len(parties)} compute parties", "three parties"))
    distinct = min(len({party.controller for party in parties}), len({party.party for party in parties}))
    if distinct != len(parties):
        reasons.append(_reason("controllers", "two seats of one controller", "distinct controllers"))
    for party in parties:
        if not is_independent(party, buyer):
            wanted = f"`{party.party}`, which belongs to the buyer or declares no controller"
            reasons.append(_reason("buyer", wanted, "controllers foreign to the buyer and its affiliates"))
    seats = sum(party.kind == "exchange" for party in parties)
    nodes = [party for party in candidates if party.kind != "exchange"]
    if seats > 1 or (seats and len(_seat(nodes, buyer)) == SEATS):
        limit = "one seat, and none where three accepted nodes exist without it"
        reasons.append(_reason("exchange", f"{seats} of the seats for the exchange", limit))
    return tuple(reasons)


def choose_compute_set(
    candidates: Sequence[PartyFacts], providers: Sequence[str], buyer: BuyerFacts
) -> tuple[PartyFacts, ...]:
    """Return the three compute parties of a job of `providers`, a function of its arguments as sets.

    A notary and two providers of the job; else further providers of the job, further notaries, other
    providers; the exchange only where no third exists. `candidates` are those that all terms accept.

    Raises:
        JobRefused: there are no three with distinct controllers foreign to the buyer.
    """
    by_name = sorted(candidates, key=lambda party: party.party)
    notaries = [party for party in by_name if party.kind == "notary"]
    first_notary = [party for party in notaries if is_independent(party, buyer)][:1]
    own = [party for party in by_name if party.kind == "provider" and party.party in providers]
    others = [party for party in by_name if party.kind == "provider" and party.party not in providers]
    exchanges = [party for party in by_name if party.kind == "exchange"]
    chosen = _seat([*first_notary, *own, *notaries, *others, *exchanges], buyer)
    if len(chosen) != SEATS:
        wanted = f"{len(chosen)} independent compute parties that all terms accept"
        raise JobRefused((_reason("size", wanted, "three parties"),))
    return chosen


def is_independent(party: PartyFacts, buyer: BuyerFacts) -> bool:
    """Tell whether `party` declares a controller that is foreign to the buyer and its affiliates."""
    of_the_buyer = {buyer.controller, *buyer.affiliates}
    return (
        bool(party.controller)
        and party.party != buyer.party
        and party.controller not in of_the_buyer
        and buyer.controller not in party.affiliates
    )


def _seat(ordered: Sequence[PartyFacts], buyer: BuyerFacts) -> tuple[PartyFacts, ...]:
    """Give up to three seats in order, one per controller.

    Distinct controllers are a partition matroid: taking the first that fits never costs a seat later.
    """
    seated: dict[str, PartyFacts] = {}
    for party in ordered:
        if len(seated) < SEATS and is_independent(party, buyer):
            seated.setdefault(party.controller, party)
    return tuple(seated.values())


_REMEDIES = {
    "size": "name three parties; if there are none, enrol a notary or use products of more providers",
    "controllers": "choose parties of three different beneficial controllers",
    "buyer": "choose another compute party",
    "exchange": "give the seats to notaries and providers",
}


def _reason(clause: str, wanted: str, limit: str) -> Reason:
    return Reason(EVERY_NODE, f"compute-set.{clause}", wanted, limit, _REMEDIES[clause])
