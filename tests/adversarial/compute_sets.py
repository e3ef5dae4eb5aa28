"""R2: who holds the three shares. The attacker proposes the seats; each node checks them."""

from __future__ import annotations

from policies.compute_set import PartyFacts
from sandbox import derivation
from sandbox.derivation import party_facts
from sandbox.node import decisions
from tests.adversarial.attack import suite
from tests.adversarial.pins import permitted
from tests.adversarial.town import JOINT, Town, shared_town
from tests.adversarial.walls import Wall, standing


def _no_objection(*_: object) -> tuple[()]:
    return ()


UNCHECKED: tuple[Wall, ...] = (
    (derivation, "check_compute_set", _no_objection),
    (decisions, "check_compute_set", _no_objection),
)


def two_seats_of_one_controller(defended: bool) -> bool:
    """Bob and the notary belong to one owner, who would hold all shares."""
    with Town(controllers={"bob": "one-owner", "notary": "one-owner"}) as town:
        return _seated(defended, town, ("notary", "alice", "bob"), "compute-set.controllers")


def one_party_on_two_seats(defended: bool) -> bool:
    """Bob sits twice."""
    with shared_town() as town:
        return _seated(defended, town, ("alice", "bob", "bob"), "compute-set.controllers")


def seat_of_the_buyers_affiliate(defended: bool) -> bool:
    """The notary belongs to a company of the buyer's group."""
    with Town(affiliates={"acme": ("notary-controller",)}) as town:
        return _seated(defended, town, ("notary", "alice", "bob"), "compute-set.buyer")


def seat_whose_owner_names_the_buyer(defended: bool) -> bool:
    """The buyer keeps silent about its affiliate, but the affiliate's own record names it."""
    with Town(affiliates={"notary": ("acme-controller",)}) as town:
        return _seated(defended, town, ("notary", "alice", "bob"), "compute-set.buyer")


def seat_of_the_exchange(defended: bool) -> bool:
    """The exchange takes a seat where three nodes exist without it."""
    with shared_town() as town:
        return _seated(defended, town, ("exchange", "alice", "bob"), "compute-set.exchange")


def _seated(defended: bool, town: Town, names: tuple[str, ...], clause: str) -> bool:
    def chosen(*_: object) -> tuple[PartyFacts, ...]:
        return tuple(party_facts(town.everyone[name].record.document) for name in names)

    crooked: Wall = (derivation, "choose_compute_set", chosen)
    job_id = town.submit(JOINT)
    with standing(False, crooked, *UNCHECKED):
        request = town.admission_request(job_id)
    with standing(False, crooked), standing(defended, *UNCHECKED):
        return permitted(town.admit("alice", request), clause)


ATTACKS = suite(
    "R2 compute set",
    two_seats_of_one_controller,
    one_party_on_two_seats,
    seat_of_the_buyers_affiliate,
    seat_whose_owner_names_the_buyer,
    seat_of_the_exchange,
)
