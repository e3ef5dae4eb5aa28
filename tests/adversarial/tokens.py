"""R6: release tokens that a malicious exchange signs. The node hands out its key only for the right one."""

from __future__ import annotations

from dataclasses import replace

from billing import log, notes
from records import commitments
from records.errors import EvidenceError, RequestExpired, SignatureInvalid, UsufructError
from records.job import Charge, NodeStatement, ReleaseToken, SealedResult
from sandbox.exchange.logbook import Logbook
from sandbox.lifecycle import State
from sandbox.local import EXCHANGE
from sandbox.node import attempts, handing_out
from sandbox.ports import ReleaseRequest
from tests.adversarial.attack import suite
from tests.adversarial.town import CALLER, JOINT, Town, shared_town
from tests.adversarial.walls import Wall, got_through, standing

UNCHECKED: tuple[Wall, ...] = (
    (handing_out, "check_token", lambda request, *_: ReleaseToken.unverified(request.token).document),
    (attempts, "is_past", lambda *_: False),
)
ELSEWHERE = "sha256:" + 64 * "0"


def token_with_a_lower_charge(defended: bool) -> bool:
    """The providers are paid for less than the node computed: the exchange and the buyer share the rest."""

    def lower(charge: Charge) -> Charge:
        split = {payee: amount // 2 for payee, amount in charge.split.items()}
        return charge.model_copy(update={"total_minor": sum(split.values()), "split": split})

    return _changed(defended, lambda token: {"charge": lower(token.charge)}, "the charge in the token")


def token_with_another_split(defended: bool) -> bool:
    """The total is right, but the provider's part goes to the exchange."""

    def shifted(charge: Charge) -> Charge:
        others = {payee: 0 for payee in charge.split if payee != "exchange-fee"}
        return charge.model_copy(update={"split": {"exchange-fee": charge.total_minor, **others}})

    return _changed(defended, lambda token: {"charge": shifted(token.charge)}, "the charge in the token")


def token_for_fewer_cells(defended: bool) -> bool:
    """The bill says fewer cells than the node sealed."""
    return _changed(defended, lambda token: {"cells": token.cells - 1}, "signed another outcome")


def expired_token(defended: bool) -> bool:
    """The key is asked for after the token's time, when the charge may already be reversed."""
    with Town() as town:
        job_id = town.at(State.METERED)
        request = town.release_request(job_id, "alice")
        town.pass_time(minutes=30)
        return _handed_out(defended, town, request, RequestExpired, "the release token has expired")


def token_of_a_stranger(defended: bool) -> bool:
    """A buyer signs the token itself."""
    with shared_town() as town:
        job_id = town.at(State.METERED)
        request = town.release_request(job_id, "alice")
        forged = ReleaseToken.unverified(request.token).document.sign(town.everyone["acme"].signer)
        changed = replace(request, token=forged.to_bytes())
        return _handed_out(defended, town, changed, SignatureInvalid, "no signature by a key")


def token_for_other_sealed_results(defended: bool) -> bool:
    """The token names another sealed result of Bob's than he signed: the buyer would open something else."""
    with shared_town() as town:
        job_id = town.at(State.METERED, JOINT)
        request = town.release_request(job_id, "alice")
        changed = replace(request, token=_naming_nobody_else(town, request))
        return _handed_out(defended, town, changed, EvidenceError, "names another sealed result")


def statements_of_one_node_only(defended: bool) -> bool:
    """The same, and in the place of the others' statements stands Alice's own, three times."""
    with shared_town() as town:
        job_id = town.at(State.METERED, JOINT)
        request = town.release_request(job_id, "alice")
        own = next(
            item for item in request.statements if SealedResult.unverified(item).document.node == "alice"
        )
        changed = replace(
            request, token=_naming_nobody_else(town, request), statements=(own,) * len(request.statements)
        )
        return _handed_out(defended, town, changed, EvidenceError, "did not come with it")


def token_that_is_not_in_the_log(defended: bool) -> bool:
    """The token names a place in the log where something else stands than the leaf that is shown."""
    with shared_town() as town:
        job_id = town.at(State.METERED)
        request = replace(town.release_request(job_id, "alice"), leaf=b'{"event":"release"}')
        return _handed_out(defended, town, request, EvidenceError, "does not lead to the root")


def token_with_the_leaf_of_another_event(defended: bool) -> bool:
    """The charge is never logged: the token names the leaf of the exchange's enrolment, which stands."""
    with shared_town() as town:
        job_id = town.at(State.METERED)
        request = town.release_request(job_id, "alice")
        token = ReleaseToken.unverified(request.token).document
        size = notes.parse_checkpoint(notes.parse(token.checkpoint.encode()).text).size
        with town.store.read() as connection:
            changed = replace(
                request,
                token=_signed(town, token, log_index=0),
                leaf=next(log.leaves(connection, 0, 1)),
                inclusion=tuple(log.inclusion(connection, 0, size)),
                opened=commitments.encode(Logbook.fields(connection, 0)),
            )
        return _handed_out(defended, town, changed, EvidenceError, "is not that of this release")


def _changed(defended: bool, change: object, words: str) -> bool:
    with shared_town() as town:
        request = town.release_request(town.at(State.METERED), "alice")
        token = ReleaseToken.unverified(request.token).document
        changed = replace(request, token=_signed(town, token, **change(token)))  # type: ignore[operator]
        return _handed_out(defended, town, changed, EvidenceError, words)


def _signed(town: Town, token: ReleaseToken, **changes: object) -> bytes:
    return token.model_copy(update=changes).sign(town.everyone[EXCHANGE].signer).to_bytes()


def _naming_nobody_else(town: Town, request: ReleaseRequest) -> bytes:
    token = ReleaseToken.unverified(request.token).document
    sealed = tuple(
        item if item.node == "alice" else NodeStatement(node=item.node, statement_digest=ELSEWHERE)
        for item in token.sealed
    )
    return _signed(town, token, sealed=sealed)


def _handed_out(
    defended: bool, town: Town, request: ReleaseRequest, kind: type[UsufructError], words: str
) -> bool:
    with standing(defended, *UNCHECKED):
        return got_through(lambda: town.run(town.node("alice").release(CALLER, request)), kind, words)


ATTACKS = suite(
    "R6 token",
    token_with_a_lower_charge,
    token_with_another_split,
    token_for_fewer_cells,
    expired_token,
    token_of_a_stranger,
    token_for_other_sealed_results,
    statements_of_one_node_only,
    token_that_is_not_in_the_log,
    token_with_the_leaf_of_another_event,
)
