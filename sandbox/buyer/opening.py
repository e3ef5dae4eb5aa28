"""Open a released result: unwrap every share, compare both holders' copies (R5), and finish the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mpc.sharing import from_bytes, reconstruct
from records import canonical
from records.document import Signed
from records.errors import EvidenceError
from records.job import AttemptKeys, KeyHandout, Quote, ReleaseToken, SealedResult
from records.keys import VerifyingKey
from sandbox.gate.layout import Layout, suppressed_cells, words_by_column
from sandbox.hpke import SealingKey
from sandbox.outcome import agreed_outcome
from sandbox.ports import ReleasedResult
from sandbox.sealing import SealContext, open_share
from sandbox.sql.columns import Words, decode_numbers, decode_payload
from sandbox.sql.finish import finish
from sandbox.sql.plan import Plan, ResultColumn


@dataclass(frozen=True, slots=True)
class OpenedResult:
    """The buyer's table, and how many of its cells are suppressed (null, never 0)."""

    table: pa.Table
    suppressed: int


@dataclass(frozen=True, slots=True)
class VerifiedRelease:
    """A release whose documents were checked: token, statements by node, release keys by node."""

    token: Signed[ReleaseToken]
    statements: Mapping[str, SealedResult]
    release_keys: Mapping[str, SealingKey]


def verify_release(
    released: ReleasedResult,
    quote: Signed[Quote],
    acceptance_digest: str,
    exchange: VerifyingKey,
    nodes: Mapping[str, VerifyingKey],
    environment: str,
) -> VerifiedRelease:
    """Check the token and every node's statement, keys and handout.

    Raises:
        SignatureInvalid, EvidenceError: a document is not what its signer made, or they contradict.
    """
    token = ReleaseToken.verified(released.token, exchange, environment)
    if token.document.acceptance_digest != acceptance_digest or token.document.attempt != released.attempt:
        raise EvidenceError("the release token belongs to another acceptance or attempt")
    if token.document.charge.total_minor > quote.document.charge.total_minor:
        raise EvidenceError("the charge exceeds the accepted quote")
    statements: dict[str, SealedResult] = {}
    for envelope in released.statements:
        name = SealedResult.unverified(envelope).document.node
        signed = SealedResult.verified(envelope, _key(nodes, name), environment)
        if (name, signed.digest) not in {
            (item.node, item.statement_digest) for item in token.document.sealed
        }:
            raise EvidenceError(f"the token does not name the sealed result of `{name}`")
        statements[name] = signed.document
    outcome = agreed_outcome(quote.document, statements)
    if (outcome.verdict, outcome.cells) != ("sealed", token.document.cells):
        raise EvidenceError("the nodes signed another outcome than was charged for")
    return VerifiedRelease(token, statements, _release_keys(released, token, nodes, environment))


def open_result(
    plan: Plan,
    release: VerifiedRelease,
    ciphertexts: Mapping[tuple[str, int], bytes],
    buyer: SealingKey,
    literals: Sequence[str] = (),
) -> OpenedResult:
    """Return the buyer's table from the fetched sealed shares; `literals` are the placeholders' of the query.

    Raises:
        EvidenceError: a share does not open, or two holders of one share delivered different ones.
    """
    opened: dict[int, dict[str, bytes]] = {}
    _require_as_signed(release, ciphertexts)
    for (node, index), ciphertext in ciphertexts.items():
        context = SealContext(
            release.token.document.acceptance_digest,
            release.token.document.attempt,
            plan.digest,
            node,
            index,
        )
        opened.setdefault(index, {})[node] = open_share(ciphertext, buyer, release.release_keys, context)
    for index, copies in opened.items():
        if len(set(copies.values())) != 1:
            holders = " and ".join(f"`{node}`" for node in sorted(copies))
            raise EvidenceError(f"{holders} delivered different copies of share {index}")
    shares = {index: next(iter(copies.values())) for index, copies in opened.items()}
    if plan.technique == "local":
        return _local(shares)
    return _joint(plan, shares, literals)


def _require_as_signed(release: VerifiedRelease, ciphertexts: Mapping[tuple[str, int], bytes]) -> None:
    """Check that exactly the shares that the nodes signed for have come, each as its node signed it."""
    signed = {
        (node, share.index): share.ciphertext_digest
        for node, result in release.statements.items()
        for share in result.shares
    }
    came = {key: canonical.digest_bytes(ciphertext) for key, ciphertext in ciphertexts.items()}
    if came != signed:
        raise EvidenceError("the sealed shares that came are not those that the nodes signed")


def _local(shares: Mapping[int, bytes]) -> OpenedResult:
    if set(shares) != {0}:
        raise EvidenceError("a local result is one sealed table")
    with pa.ipc.open_stream(shares[0]) as reader:
        table = reader.read_all()
    suppressed = int((table.schema.metadata or {}).get(b"suppressed", b"0"))
    return OpenedResult(table.replace_schema_metadata(None), suppressed)


def _joint(plan: Plan, shares: Mapping[int, bytes], literals: Sequence[str]) -> OpenedResult:
    if set(shares) != {0, 1, 2}:
        raise EvidenceError("a joint result is three shares")
    layout = Layout.of(plan)
    words = reconstruct(*(from_bytes(shares[index], layout.result_shape) for index in range(3)))
    if not np.isin(words[:, 0], (0, 1)).all():
        raise EvidenceError("the opened shares do not make a result")
    words = words[words[:, 0] == 1]
    cell_shown, any_value = {}, {}
    for position, support in enumerate(plan.supports):
        place = 1 + layout.words + 2 * position
        cell_shown[support.name], any_value[support.name] = words[:, place] == 1, words[:, place + 1] == 1
    columns = {}
    for column, places in words_by_column(plan):
        array = _column(column, words[:, places])
        if column.support is not None:
            visible = cell_shown[column.support] & any_value[column.support]
            array = pc.if_else(pa.array(visible), array, pa.scalar(None, array.type))
        columns[column.name] = array
    return OpenedResult(finish(plan, columns, literals), suppressed_cells(plan, cell_shown))


def _column(column: ResultColumn, words: Words) -> pa.Array:
    """Return a column of the released table: a payload, or numbers divided by their scale."""
    if column.kind == "payload":
        return decode_payload(words, column.type)
    return decode_numbers(np.ascontiguousarray(words[:, 0]).view(np.int64), column.type, column.scale)


def _release_keys(
    released: ReleasedResult,
    token: Signed[ReleaseToken],
    nodes: Mapping[str, VerifyingKey],
    environment: str,
) -> dict[str, SealingKey]:
    public: dict[str, str] = {}
    for envelope in released.attempt_keys:
        name = AttemptKeys.unverified(envelope).document.node
        public[name] = AttemptKeys.verified(envelope, _key(nodes, name), environment).document.release_key
    keys: dict[str, SealingKey] = {}
    for envelope in released.handouts:
        name = KeyHandout.unverified(envelope).document.node
        handout = KeyHandout.verified(envelope, _key(nodes, name), environment).document
        key = SealingKey(bytes.fromhex(handout.release_private_key))
        if handout.token_digest != token.digest or key.public.hex() != public.get(name):
            raise EvidenceError(f"`{name}` handed out a key of another release")
        keys[name] = key
    return keys


def _key(nodes: Mapping[str, VerifyingKey], name: str) -> VerifyingKey:
    if name not in nodes:
        raise EvidenceError(f"`{name}` is no node of this job")
    return nodes[name]
