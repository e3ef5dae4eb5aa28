"""The literals of a job, sealed to its providers and its buyer: the exchange plans and prices without them.

Providers fill them into what their engines run; the buyer's own copy finishes a result that was computed in
shares, also in a process that was not there when the job was drafted.

    plaintext  = canonical JSON {salt, values, padding}, a multiple of 256 bytes
    ciphertext = nonce ‖ AES-256-GCM(key, plaintext), once for all of them
    keys       = for each of them, HPKE(its registered sealing key, key)

The signed job holds a salted commitment to the values too: AES-GCM alone would let a buyer give two
providers two keys under which one ciphertext opens differently.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from records import canonical, commitments
from records.commitments import SALT_BYTES, Opening
from records.errors import EvidenceError
from records.job import Job, SealedParameters, WrappedKey
from sandbox import hpke
from sandbox.hpke import SealingKey

KEY_BYTES = 32
NONCE_BYTES = 12
PADDED_TO_BYTES = 256


def seal(values: Sequence[str], parties: Mapping[str, bytes], job_id: str) -> SealedParameters:
    """Return `values` sealed to `parties` (name → registered public sealing key), bound to the job."""
    opening = Opening(secrets.token_bytes(SALT_BYTES), list(values))
    key, nonce = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(NONCE_BYTES)
    ciphertext = nonce + AESGCM(key).encrypt(nonce, _encode(opening), _info(job_id, ""))
    return SealedParameters(
        commitment=commitments.commit("parameters", opening),
        ciphertext=base64.b64encode(ciphertext).decode(),
        keys=tuple(
            WrappedKey(
                party=name,
                wrapped=base64.b64encode(hpke.seal(key, public, _info(job_id, name))).decode(),
            )
            for name, public in sorted(parties.items())
        ),
    )


def unseal(job: Job, party: str, own: Sequence[SealingKey]) -> tuple[str, ...]:
    """Return the values for `party`, which holds the keys `own`: the present one and those rotated away.

    Raises:
        EvidenceError: they are not sealed to the party, belong to another job, or are not those that the
            job commits to.
    """
    sealed = job.parameters
    if sealed is None:
        return ()
    wrapped = next((item.wrapped for item in sealed.keys if item.party == party), None)
    if wrapped is None:
        raise EvidenceError(f"the literals of the query are not sealed to `{party}`")
    key = _unwrap(_bytes(wrapped), own, _info(job.job_id, party))
    ciphertext = _bytes(sealed.ciphertext)
    try:
        plain = AESGCM(key).decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], _info(job.job_id, ""))
    except (InvalidTag, ValueError) as error:
        raise EvidenceError("the sealed literals do not open: they belong to another job") from error
    opening, values = _decode(plain)
    if not hmac.compare_digest(commitments.commit("parameters", opening), sealed.commitment):
        raise EvidenceError("the sealed literals are not those that the job commits to")
    return values


def _unwrap(wrapped: bytes, own: Sequence[SealingKey], info: bytes) -> bytes:
    for key in own[:-1]:
        try:
            return key.open(wrapped, info)
        except EvidenceError:
            continue  # sealed to a key from before a rotation
    return own[-1].open(wrapped, info)


def _encode(opening: Opening) -> bytes:
    document = {"salt": opening.salt.hex(), "values": opening.value, "padding": ""}
    missing = -len(canonical.encode(document)) % PADDED_TO_BYTES
    return canonical.encode({**document, "padding": "0" * missing})


def _decode(plain: bytes) -> tuple[Opening, tuple[str, ...]]:
    match canonical.decode(plain):
        case {"salt": str(salt), "values": [*values], "padding": str(), **rest} if not rest and all(
            isinstance(value, str) for value in values
        ):
            return Opening(bytes.fromhex(salt), values), tuple(str(value) for value in values)
    raise EvidenceError("the sealed literals have another form")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise EvidenceError("the sealed literals have another form") from error


def _info(job_id: str, party: str) -> bytes:
    return canonical.encode(["usufruct/parameters/v1", job_id, party])
