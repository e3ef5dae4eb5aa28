"""R19: what receipts prove, and what the log tells to those who only read it."""

from __future__ import annotations

from dataclasses import replace

from billing import log, merkle
from records import canonical, commitments
from records.commitments import Opening
from records.errors import EvidenceError, MalformedDocument
from records.job import OpenedField, Receipt
from sandbox import receipt as receipts
from sandbox.exchange import logbook
from sandbox.lifecycle import State
from sandbox.local import EXCHANGE
from sandbox.receipt import ExchangeKeys
from tests.adversarial.attack import suite
from tests.adversarial.town import Town, shared_town
from tests.adversarial.walls import got_through, standing


def receipt_of_a_local_cluster(defended: bool) -> bool:
    """A receipt made on a laptop is shown as a real exchange's, whose very keys were stolen.

    The control is a verifier that takes the environment from the receipt.
    """
    with shared_town() as town:
        envelope = _receipt(town, town.at(State.SETTLED))
        real = replace(town.session().keys, environment="exchange.example")
        claimed = Receipt.unverified(envelope).document.environment
        keys = real if defended else replace(real, environment=claimed)
        return got_through(lambda: receipts.verify(envelope, keys), MalformedDocument, "another environment")


def receipt_with_another_price(defended: bool) -> bool:
    """The exchange signs a receipt whose charge is not what stands in the log."""
    with shared_town() as town:
        honest = Receipt.unverified(_receipt(town, town.at(State.SETTLED))).document
        field = OpenedField(salt=honest.fields["cells"].salt, value_json=canonical.encode(1).decode())
        changes = {"fields": {**honest.fields, "cells": field}, "token": None}
        forged = honest.model_copy(update=changes).sign(town.everyone[EXCHANGE].signer).to_bytes()
        with standing(defended, (commitments, "check", lambda *_: None)):
            return got_through(
                lambda: receipts.verify(forged, _keys(town)), EvidenceError, "does not match its commitment"
            )


def receipt_of_an_event_that_never_was(defended: bool) -> bool:
    """The exchange signs a receipt for a leaf that it never put into the log."""
    with shared_town() as town:
        honest = Receipt.unverified(_receipt(town, town.at(State.SETTLED))).document
        opened = {"event": Opening(bytes(16), "release"), "cells": Opening(bytes(16), 1)}
        changes = {
            "leaf": canonical.encode(dict(commitments.leaf(opened))).hex(),
            "fields": {
                name: OpenedField(salt=item.salt.hex(), value_json=canonical.encode(item.value).decode())
                for name, item in opened.items()
            },
            "token": None,
        }
        forged = honest.model_copy(update=changes).sign(town.everyone[EXCHANGE].signer).to_bytes()
        with standing(defended, (merkle, "verify_inclusion", lambda *_: None)):
            return got_through(
                lambda: receipts.verify(forged, _keys(town)), EvidenceError, "does not lead to the root"
            )


def field_of_a_leaf_guessed(defended: bool) -> bool:
    """A reader of the log hashes all buyers' names to see whose job it was. The control has no salt."""

    class NoSalt:
        @staticmethod
        def token_bytes(size: int) -> bytes:
            return bytes(size)

    with Town() as town:
        with standing(defended, (logbook, "secrets", NoSalt)):
            town.at(State.SETTLED)
        with town.store.read() as connection:
            leaves = b"".join(log.leaves(connection, 0, log.size(connection)))
        return commitments.commit("buyer", Opening(bytes(16), "acme")).encode() in leaves


def _receipt(town: Town, job_id: str) -> bytes:
    return town.run(town.session().receipt(job_id))


def _keys(town: Town) -> ExchangeKeys:
    return town.session().keys


ATTACKS = suite(
    "R19 receipts and log",
    receipt_of_a_local_cluster,
    receipt_with_another_price,
    receipt_of_an_event_that_never_was,
    field_of_a_leaf_guessed,
)
