"""R1 on the buyer's side: an exchange that shows a buyer other keys of a provider than the provider's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from billing.tariff import ExchangeFees
from records import canonical, dsse
from records.dsse import Envelope
from records.errors import EvidenceError, SignatureInvalid
from records.job import (
    Acceptance,
    AttemptKeys,
    Job,
    KeyHandout,
    NodeStatement,
    Quote,
    RecordPin,
    ReleaseToken,
    SealedResult,
)
from records.parties import CollectionMembership, PartyRecord, ProductRecord
from sandbox.buyer import evidence
from sandbox.derivation import Facts
from sandbox.hpke import SealingKey
from sandbox.identity import Identity
from sandbox.lifecycle import State
from sandbox.local import EXCHANGE
from sandbox.ports import Blob, Caller, Catalogue, JobView, ReleasedResult
from sandbox.sealing import SealContext, seal_share
from tests.adversarial.attack import suite
from tests.adversarial.sealed_shares import FORGED, forged_table
from tests.adversarial.town import Town, shared_town
from tests.adversarial.walls import ANY_SIGNATURE, Wall, got_through, standing


def _as_shown(released: ReleasedResult, job: Job, quote: Quote, buyer: PartyRecord) -> Facts:
    """Believe the records that the exchange shows."""
    products = [ProductRecord.unverified(item).document for item in released.product_records]
    parties = [PartyRecord.unverified(item).document for item in released.party_records]
    return Facts(
        {record.party: record for record in (*parties, buyer)},
        {item.product: item for item in products},
        [CollectionMembership.unverified(item).document for item in released.memberships],
        ExchangeFees(quote.fee_basis_points, quote.tax_basis_points),
    )


NAMED_RECORDS_UNCHECKED: Wall = (evidence, "quoted_on", _as_shown)
OWN_SIGNATURE_UNCHECKED: Wall = (evidence, "own", lambda kind, envelope, _: kind.unverified(envelope))
Listed = ProductRecord | CollectionMembership


def result_of_an_invented_provider(defended: bool) -> bool:
    """A buyer whose quote names the true Alice is given a result by an Alice of the exchange's making."""
    with shared_town() as town:
        job_id = town.at(State.SETTLED)
        lies = _lies(town, town.impostor("alice"), job_id, town.acceptance_digest(job_id))
        with standing(False, *lies), standing(defended, NAMED_RECORDS_UNCHECKED):
            return got_through(lambda: _read(town, job_id), EvidenceError, "other records")


def result_of_a_quote_that_was_never_accepted(defended: bool) -> bool:
    """The exchange shows a quote that names an Alice of its making, accepted by whoever made her."""
    with shared_town() as town:
        job_id = town.at(State.SETTLED)
        thief = town.impostor("alice")
        honest = town.run(town.exchange.job(Caller("acme", "buyer"), job_id))
        pins = (RecordPin(name="alice", record_digest=thief.record.digest),)
        quote = town.quote(job_id).document.model_copy(update={"party_records": pins})
        forged = quote.sign(town.everyone[EXCHANGE].signer)
        accepted = Acceptance.unverified(honest.acceptance).document
        acceptance = accepted.model_copy(update={"quote_digest": forged.digest}).sign(thief.signer)
        view = replace(honest, quote=forged.to_bytes(), acceptance=acceptance.to_bytes())

        async def job(_: Caller, __: str) -> JobView:
            return view

        lies = [*_lies(town, thief, job_id, acceptance.digest), (town.exchange, "job", job)]
        with standing(False, *lies), standing(defended, OWN_SIGNATURE_UNCHECKED):
            return got_through(lambda: _read(town, job_id), SignatureInvalid, "no signature by a key")


def _lies(town: Town, thief: Identity, job_id: str, acceptance_digest: str) -> list[Wall]:
    """Return an exchange that shows the thief in Alice's place, and a result of the thief's."""
    honest = town.run(town.exchange.catalogue(Caller("acme", "buyer")))
    released, forged = _released_by(town, thief, job_id, acceptance_digest)

    async def catalogue(_: Caller) -> Catalogue:
        return _with_thief(honest, thief)

    async def result(_: Caller, __: str) -> ReleasedResult:
        return released

    async def fetch(*_: object) -> object:
        yield forged

    shown = {"catalogue": catalogue, "result": result, "fetch": fetch}
    return [(town.exchange, name, lie) for name, lie in shown.items()]


def record_remembered_under_another_key(defended: bool) -> bool:
    """A forged product carries two signatures: a good one of a thief's, and nothing under Alice's key id.

    It is listed once beside the thief's record, and then beside Alice's own.
    """
    with shared_town() as town:
        thief, alice = town.impostor("alice"), town.everyone["alice"]
        honest = town.run(town.exchange.catalogue(Caller("acme", "buyer")))
        buyer = town.session()

        def doubly(signed: Envelope) -> Envelope:
            nothing = (alice.record.document.verifying_key.key_id, bytes(64))
            return replace(signed, signatures=(*signed.signatures, nothing))

        poisoned = _with_thief(honest, thief, doubly)
        then = replace(poisoned, parties=honest.parties)
        shown = iter((poisoned, then))

        async def catalogue(_: Caller) -> Catalogue:
            return next(shown)

        with standing(False, (town.exchange, "catalogue", catalogue)):
            town.run(buyer.listing())
            with standing(defended, ANY_SIGNATURE):
                return got_through(lambda: town.run(buyer.listing()), SignatureInvalid, "does not verify")


def _with_thief(
    honest: Catalogue, thief: Identity, also: Callable[[Envelope], Envelope] = lambda envelope: envelope
) -> Catalogue:
    """Return a catalogue in which a provider's record, and what it signed, are the thief's."""

    def resigned(envelope: bytes, kind: type[Listed]) -> bytes:
        document = kind.unverified(envelope).document
        if document.provider != thief.party:
            return envelope
        return also(dsse.seal(kind.payload_type(), document.to_json(), thief.signer)).to_bytes()

    def record(envelope: bytes) -> bytes:
        return (
            thief.record.to_bytes()
            if PartyRecord.unverified(envelope).document.party == thief.party
            else envelope
        )

    return replace(
        honest,
        parties=tuple(record(item) for item in honest.parties),
        products=tuple(resigned(item, ProductRecord) for item in honest.products),
        memberships=tuple(resigned(item, CollectionMembership) for item in honest.memberships),
    )


def _released_by(
    town: Town, thief: Identity, job_id: str, acceptance_digest: str
) -> tuple[ReleasedResult, bytes]:
    """Return what an exchange would show for a result that the thief sealed, and its bytes."""
    honest = town.run(town.exchange.result(Caller("acme", "buyer"), job_id))
    quote, own = town.quote(job_id).document, SealingKey.generate()
    context = SealContext(acceptance_digest, honest.attempt, quote.plan_digest, thief.party, 0)
    forged = seal_share(forged_table(), bytes.fromhex(quote.result_key), {thief.party: own.public}, context)
    digest = canonical.digest_bytes(forged)
    for_this = {"acceptance_digest": acceptance_digest}
    said = SealedResult.unverified(honest.statements[0]).document.model_copy(update=for_this)
    share = said.shares[0].model_copy(update={"size": len(forged), "ciphertext_digest": digest})
    keys = AttemptKeys.unverified(honest.attempt_keys[0]).document
    statement = said.model_copy(update={"shares": (share,)}).sign(thief.signer)
    sealed = (NodeStatement(node=thief.party, statement_digest=statement.digest),)
    token = (
        ReleaseToken.unverified(honest.token)
        .document.model_copy(update={"sealed": sealed, **for_this})
        .sign(town.everyone[EXCHANGE].signer)
    )
    handout: Mapping[str, object] = {"token_digest": token.digest, "release_private_key": own.private.hex()}
    handed = KeyHandout.unverified(honest.handouts[0]).document.model_copy(update=handout)
    released = replace(
        honest,
        blobs=(Blob(thief.party, 0, len(forged), digest),),
        statements=(statement.to_bytes(),),
        attempt_keys=(
            keys.model_copy(update={"release_key": own.public.hex()}).sign(thief.signer).to_bytes(),
        ),
        handouts=(handed.sign(thief.signer).to_bytes(),),
        token=token.to_bytes(),
        party_records=(thief.record.to_bytes(),),
    )
    return released, forged


def _read(town: Town, job_id: str) -> None:
    if town.run(town.session().open(job_id)).table.to_pydict() != FORGED:
        raise AssertionError("the buyer read something else")


ATTACKS = suite(
    "R1 pins of buyers",
    result_of_an_invented_provider,
    result_of_a_quote_that_was_never_accepted,
    record_remembered_under_another_key,
)
