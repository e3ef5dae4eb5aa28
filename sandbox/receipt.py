"""Verify a receipt offline, with public keys alone.

The steps, as they are labelled below:

1. the receipt is signed by the exchange's signing key, and belongs to the expected environment;
2. the checkpoint is signed by the exchange's log key;
3. the leaf stands in the tree of that checkpoint (RFC 9162 inclusion proof);
4. every opened field matches its commitment in the leaf;
5. if there is a release token: it is signed by the same exchange, names this leaf's index, and its charge,
   cells and acceptance are what the leaf says.

What this does not show: that the exchange shows everybody the same log. Without a witness a receipt
excludes no fork; nodes compare checkpoints before they hand out keys (R6).
"""

from __future__ import annotations

from dataclasses import dataclass

from billing import merkle, notes
from records import canonical, commitments
from records.canonical import Json
from records.commitments import Opening
from records.errors import EvidenceError, MalformedDocument
from records.job import Receipt, ReleaseToken
from records.keys import VerifyingKey


@dataclass(frozen=True, slots=True)
class ExchangeKeys:
    """The public keys a verifier trusts, obtained once from the exchange's signed record."""

    environment: str
    signing: VerifyingKey
    log: VerifyingKey


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a receipt proves."""

    receipt: Receipt
    facts: dict[str, Json]


def verify(envelope: bytes, keys: ExchangeKeys) -> VerifiedReceipt:
    """Return what the receipt proves.

    Raises:
        MalformedDocument: it does not parse.
        SignatureInvalid: a signature is missing or by another key.
        EvidenceError: a proof or a commitment does not hold.
    """
    # (1)
    receipt = Receipt.verified(envelope, keys.signing, keys.environment).document
    # (2)
    checkpoint = notes.open_checkpoint(receipt.checkpoint.encode(), keys.environment, keys.log)
    # (3)
    leaf_bytes = _from_hex(receipt.leaf)
    merkle.verify_inclusion(
        merkle.leaf_hash(leaf_bytes),
        receipt.log_index,
        checkpoint.size,
        tuple(_from_hex(item) for item in receipt.inclusion),
        checkpoint.root,
    )
    # (4)
    leaf = canonical.decode(leaf_bytes)
    if not isinstance(leaf, dict):
        raise MalformedDocument("the leaf is not an object of commitments")
    opened = {
        name: Opening(_from_hex(field.salt), canonical.decode(field.value_json.encode()))
        for name, field in receipt.fields.items()
    }
    commitments.check({name: str(value) for name, value in leaf.items()}, opened)
    facts = {name: opening.value for name, opening in opened.items()}
    # (5)
    if receipt.token is not None:
        _check_token(
            ReleaseToken.verified(receipt.token.encode(), keys.signing, keys.environment).document,
            receipt,
            facts,
        )
    return VerifiedReceipt(receipt, facts)


def _check_token(token: ReleaseToken, receipt: Receipt, facts: dict[str, Json]) -> None:
    wanted: dict[str, Json] = {
        "job": token.job_id,
        "acceptance": token.acceptance_digest,
        "cells": token.cells,
        "charge": {"currency": token.charge.currency, "total_minor": token.charge.total_minor},
    }
    if token.log_index != receipt.log_index or token.job_id != receipt.job_id:
        raise EvidenceError("the release token belongs to another entry of the log")
    for name, value in wanted.items():
        if name in facts and facts[name] != value:
            raise EvidenceError(f"the release token and the log differ in `{name}`")


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise MalformedDocument("not hexadecimal") from error
