"""R1: whose keys count. The exchange swaps records of providers, notaries and buyers on the way to a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from records.document import Signed
from records.errors import SignatureInvalid
from records.job import Admission, Job
from records.keys import VerifyingKey
from records.parties import CollectionMembership, PartyRecord, ProductRecord
from sandbox.identity import Identity
from sandbox.lifecycle import State
from sandbox.local import EXCHANGE
from sandbox.node import pins
from sandbox.ports import AdmissionRequest, Caller
from tests.adversarial.attack import suite
from tests.adversarial.town import JOINT, LOCAL, Town, shared_town
from tests.adversarial.walls import ANY_SIGNATURE, Wall, got_through, standing


def _whatever_is_shown(_: object, record: Signed[PartyRecord], **__: object) -> VerifyingKey:
    return record.document.verifying_key


NO_PINS: Wall = (pins, "require", _whatever_is_shown)


def permitted(admission: Admission, clause: str) -> bool:
    """Return whether a node permits the job; a refusal must be by `clause`."""
    if admission.effect == "refuse" and clause not in {reason.clause for reason in admission.reasons}:
        raise AssertionError(f"refused, but by: {admission.reasons}")
    return admission.effect == "permit"


def swapped_provider_key(defended: bool) -> bool:
    """Alice is shown a `bob` whose key is the attacker's, with product and membership signed by it."""

    def all_of_bob(request: AdmissionRequest, thief: Identity) -> AdmissionRequest:
        def stolen(envelope: bytes, kind: type[ProductRecord] | type[CollectionMembership]) -> bytes:
            document = kind.unverified(envelope).document
            return document.sign(thief.signer).to_bytes() if document.provider == "bob" else envelope

        return replace(
            request,
            product_records=tuple(stolen(item, ProductRecord) for item in request.product_records),
            memberships=tuple(stolen(item, CollectionMembership) for item in request.memberships),
        )

    return _shown_another(defended, "bob", all_of_bob)


def swapped_notary_key(defended: bool) -> bool:
    """Alice is shown a `notary` whose key is the attacker's: a seat for him."""
    return _shown_another(defended, "notary", lambda request, _: request)


def swapped_buyer_key(defended: bool) -> bool:
    """A buyer that the node knows comes back with the attacker's key, and a job signed by it."""

    def job_of_thief(request: AdmissionRequest, thief: Identity) -> AdmissionRequest:
        changes = {"job_id": "forged", "result_key": thief.record.document.sealing_key}
        job = Job.unverified(request.job).document.model_copy(update=changes)
        return replace(request, job=job.sign(thief.signer).to_bytes())

    return _shown_another(defended, "acme", job_of_thief)


def invented_notary(defended: bool) -> bool:
    """The exchange enrols a notary of its own making, of whom no officer has ever heard."""
    with Town() as town:
        invented = town._identity("another", "notary")
        town.exchange.enrol(invented.record.to_bytes())
        request = town.admission_request(town.submit(JOINT))
        with standing(defended, NO_PINS):
            return permitted(town.admit("alice", request), "request.object-unknown")


def notary_pinned_as_a_buyer(defended: bool) -> bool:
    """The invented notary is first shown as a buyer, whom nodes pin at first sight, then as itself."""
    with Town() as town:
        invented = town._identity("another", "notary")
        as_buyer = invented.record.document.model_copy(update={"role": "buyer"}).sign(invented.signer)
        harmless = town.admission_request(town.submit(LOCAL))
        town.admit("alice", replace(harmless, party_records=(*harmless.party_records, as_buyer.to_bytes())))
        town.exchange.enrol(invented.record.to_bytes())
        request = town.admission_request(town.submit(JOINT))
        with standing(defended, NO_PINS):
            return permitted(town.admit("alice", request), "request.evidence")


def rotation_forged_for_a_node(defended: bool) -> bool:
    """Alice is shown that the notary handed over to a new key, in words that its old key never signed."""
    with Town() as town:
        request = town.admission_request(town.submit(LOCAL))
        forged, heir = _forged_rotation(town, "notary")
        records = tuple(
            heir.record.to_bytes() if PartyRecord.unverified(item).document.party == "notary" else item
            for item in request.party_records
        )
        with standing(defended, ANY_SIGNATURE):
            admission = town.admit("alice", replace(request, party_records=records, key_events=(forged,)))
        return permitted(admission, "request.signature-invalid")


def job_signed_by_the_exchange(defended: bool) -> bool:
    """The exchange asks in the buyer's name, with the buyer's true record but its own signature."""
    with shared_town() as town:
        request = town.admission_request(town.submit(LOCAL))
        forged = Job.unverified(request.job).document.sign(town.everyone[EXCHANGE].signer)
        with standing(defended, ANY_SIGNATURE):
            admission = town.admit("alice", replace(request, job=forged.to_bytes()))
        return permitted(admission, "request.signature-invalid")


def job_signed_by_another_buyer(defended: bool) -> bool:
    """A buyer submits a job that names another, who would pay for it."""
    with shared_town() as town:
        town.session("mallory")
        honest = Job.unverified(town.view(town.submit(LOCAL)).job).document
        changes = {"job_id": "01890000-0000-7000-8000-000000000000", "idempotency_key": "another"}
        forged = honest.model_copy(update=changes).sign(town.everyone["mallory"].signer).to_bytes()
        with standing(defended, ANY_SIGNATURE):
            return got_through(
                lambda: town.run(town.exchange.submit(Caller("acme", "buyer"), forged)),
                SignatureInvalid,
                "no signature by a key",
            )


def rotation_without_the_old_key(defended: bool) -> bool:
    """A thief moves a provider's registration to his own key; he does not have the old one."""
    with Town() as town:
        event, heir = _forged_rotation(town, "bob")
        call = town.exchange.rotate_key(Caller("bob", "provider"), event, heir.record.to_bytes())
        with standing(defended, ANY_SIGNATURE):
            return got_through(lambda: town.run(call), SignatureInvalid, "no signature by a key")


def _forged_rotation(town: Town, name: str) -> tuple[bytes, Identity]:
    """Return a key event that leads from a party's present key to a thief's, and the thief."""
    event, heir = town.everyone[name].rotate(town._now)
    thief = town.impostor(name)
    changes = {"signing_key": thief.record.document.signing_key}
    record = heir.record.document.model_copy(update=changes).sign(thief.signer)
    names = {"new_key": thief.record.document.signing_key, "record_digest": record.digest}
    forged = event.document.model_copy(update=names).sign(thief.signer)
    return forged.to_bytes(), replace(thief, record=record)


def _shown_another(
    defended: bool, name: str, forge: Callable[[AdmissionRequest, Identity], AdmissionRequest]
) -> bool:
    with shared_town() as town:
        town.at(State.ADMITTED, JOINT)
        request = town.admission_request(town.submit(JOINT))
        thief = town.impostor(name)
        records = tuple(
            thief.record.to_bytes() if PartyRecord.unverified(item).document.party == name else item
            for item in request.party_records
        )
        with standing(defended, NO_PINS):
            admission = town.admit("alice", forge(replace(request, party_records=records), thief))
        return permitted(admission, "request.evidence")


ATTACKS = suite(
    "R1 pins",
    swapped_provider_key,
    swapped_notary_key,
    swapped_buyer_key,
    invented_notary,
    notary_pinned_as_a_buyer,
    job_signed_by_the_exchange,
    job_signed_by_another_buyer,
    rotation_without_the_old_key,
    rotation_forged_for_a_node,
)
