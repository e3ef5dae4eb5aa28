"""Numbered attempts at a node: fresh keys, one run, a sealed result that is sent again and never made again.

    prepared → started → sealed → handed-out
                      └→ withheld
    any but handed-out → destroyed

The link key of an attempt lives in memory only, so a restarted node cannot resume an attempt (R4); its
release key is in the store, under the node's at-rest key, until it is handed out or destroyed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import Connection, Row

from records import canonical, clock
from records.clock import Clock
from records.document import Signed
from records.errors import EvidenceError, PeerUnavailable, StateConflict, UnknownObject, UsufructError
from records.job import AttemptKeys, Quote, SealedResult, SealedShare
from sandbox.derivation import Derived
from sandbox.hpke import SealingKey
from sandbox.identity import Identity
from sandbox.link.mesh import Mesh
from sandbox.node import computation, journal
from sandbox.node.computation import Computed
from sandbox.node.decisions import Agreement
from sandbox.node.inputs import RunPart
from sandbox.node.keys import AttemptSecrets, attempt_context
from sandbox.sealing import SealContext, seal_share, share_commitment
from sandbox.sql.plan import LocalPart
from sandbox.stopwatch import Stopwatch
from sandbox.store import Store

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 2
OpenMesh = Callable[[str, tuple[str, ...]], Mesh]
"""Opens the channel of one attempt, by its id, to the named peers."""


class Attempts:
    """The attempts of one node."""

    def __init__(
        self, identity: Identity, store: Store, open_mesh: OpenMesh, run_part: RunPart, now: Clock
    ) -> None:
        """`run_part` runs a provider's part of a plan on its own source."""
        self._identity = identity
        self._store = store
        self._open_mesh = open_mesh
        self._run_part = run_part
        self._now = now
        self._live: dict[tuple[str, int], X25519PrivateKey] = {}
        self._running: dict[tuple[str, int], asyncio.Task[bytes]] = {}
        self._meshes: dict[tuple[str, int], Mesh] = {}

    def prepare(self, acceptance_digest: str, number: int) -> bytes:
        """Destroy earlier keys, draw fresh ones, and return them signed.

        Raises:
            StateConflict: not the next attempt, one too many, or one that was lost in a restart.
        """
        with self._store.begin() as connection:
            last = journal.last_attempt(connection, acceptance_digest)
            if last is not None and last.attempt == number:
                return self._prepared_before(last)
            # A number may be skipped: of an attempt that was lost early, this node may never have heard.
            if number <= (last.attempt if last else 0) or number > MAX_ATTEMPTS:
                raise StateConflict("this is not the next attempt of the job")
            if last is not None and last.status == "handed-out":
                raise StateConflict("the key of the last attempt is handed out: nothing is computed again")
            journal.destroy_keys_before(connection, acceptance_digest, number)
            link, release = X25519PrivateKey.generate(), SealingKey.generate()
            keys = AttemptKeys(
                environment=self._identity.environment,
                acceptance_digest=acceptance_digest,
                attempt=number,
                node=self._identity.party,
                link_key=link.public_key().public_bytes_raw().hex(),
                release_key=release.public.hex(),
                issued_at=clock.to_text(self._now()),
            ).sign(self._identity.signer)
            protected = self._identity.protect(release.private, _context(acceptance_digest, number))
            journal.add_attempt(connection, acceptance_digest, number, protected, keys.to_bytes())
        self._abandon(acceptance_digest)
        self._live[acceptance_digest, number] = link
        return keys.to_bytes()

    async def execute(
        self,
        acceptance_digest: str,
        number: int,
        agreement: Agreement,
        envelopes: tuple[bytes, ...],
    ) -> bytes:
        """Run the attempt once and return the signed outcome; a repeated call returns the same.

        Raises:
            StateConflict: the attempt was lost; a new one may be prepared.
            EvidenceError: the keys are not those of exactly the nodes of this job.
        """
        key = acceptance_digest, number
        with self._store.read() as connection:
            row = journal.attempt(connection, acceptance_digest, number)
        if row.result is not None:
            return bytes(row.result)
        if key not in self._running:
            if row.status != "prepared" or key not in self._live:
                raise StateConflict("the attempt was lost; prepare the next one")
            peers = self._verified_keys(acceptance_digest, number, agreement, envelopes)
            self._running[key] = asyncio.create_task(self._run(key, agreement, peers))
            self._running[key].add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(self._running[key])

    def release_key(self, row: Row[Any]) -> SealingKey:
        """Return the private release key of an attempt that still has it.

        Raises:
            StateConflict: it is destroyed.
        """
        if row.release_private is None:
            raise StateConflict("the release key of this attempt is destroyed")
        context = _context(row.acceptance_digest, row.attempt)
        return SealingKey(self._identity.unprotect(row.release_private, context))

    def close(self) -> None:
        """Break off whatever still waits for a peer."""
        for acceptance_digest, _ in list(self._meshes):
            self._abandon(acceptance_digest)

    def _abandon(self, acceptance_digest: str) -> None:
        # An attempt whose peer fell would wait until its time is up, in vain: its keys are destroyed.
        for key, mesh in list(self._meshes.items()):
            if key[0] == acceptance_digest:
                mesh.abort()

    def _forget(self, key: tuple[str, int], done: asyncio.Task[bytes]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen: it is logged, and whoever still waits has it

    def _prepared_before(self, row: Row[Any]) -> bytes:
        if row.status == "prepared" and (row.acceptance_digest, row.attempt) not in self._live:
            raise StateConflict("the attempt was lost; prepare the next one")
        return bytes(row.keys)

    def _verified_keys(
        self,
        acceptance_digest: str,
        number: int,
        agreement: Agreement,
        envelopes: tuple[bytes, ...],
    ) -> dict[str, AttemptKeys]:
        known = agreement.verified.keys
        found: dict[str, AttemptKeys] = {}
        for envelope in envelopes:
            name = AttemptKeys.unverified(envelope).document.node
            if name not in known:
                raise EvidenceError(f"`{name}` is no node of this job")
            keys = AttemptKeys.verified(envelope, known[name], self._identity.environment).document
            if (keys.acceptance_digest, keys.attempt) != (acceptance_digest, number):
                raise EvidenceError(f"the keys of `{name}` belong to another attempt")
            found[name] = keys
        if set(found) != set(agreement.quote.document.nodes):
            raise EvidenceError("the keys are not those of exactly the nodes of this job")
        return found

    async def _run(self, key: tuple[str, int], agreement: Agreement, peers: dict[str, AttemptKeys]) -> bytes:
        acceptance_digest, number = key
        with self._store.begin() as connection:
            journal.change_attempt(connection, acceptance_digest, number, ("prepared",), status="started")
        secrets = self._secrets(key, agreement.derived, peers)
        watch = Stopwatch()
        try:
            with watch.measure("attempt"):
                computed = await asyncio.to_thread(self._compute, key, agreement, secrets, watch)
                with watch.measure("seal"):
                    return await asyncio.to_thread(self._seal, key, agreement.quote, peers, computed)
        except (PeerUnavailable, UnknownObject) as fault:
            # What a peer did is not for the exchange to see as this node's silence: the attempt is lost.
            logger.warning("attempt lost", extra={"attempt": number, "fault": fault.code})
            raise StateConflict(f"the attempt was lost: {fault}") from fault
        except UsufructError:
            logger.exception("attempt failed", extra={"attempt": number})
            raise
        finally:
            self._live.pop(key, None)
            logger.info("attempt ended", extra={"attempt": number, **watch.milliseconds()})

    def _secrets(
        self, key: tuple[str, int], derived: Derived, peers: dict[str, AttemptKeys]
    ) -> AttemptSecrets:
        acceptance_digest, number = key
        terms_digests = {name: terms.digest for name, terms in derived.terms.items()}
        context = attempt_context(
            acceptance_digest, number, derived.plan.digest, terms_digests, derived.nodes
        )
        return AttemptSecrets(
            node=self._identity.party,
            private=self._live[key],
            peers={name: bytes.fromhex(item.link_key) for name, item in peers.items()},
            context=context,
        )

    def _compute(
        self, key: tuple[str, int], agreement: Agreement, secrets: AttemptSecrets, watch: Stopwatch
    ) -> Computed:
        derived = agreement.derived

        def run_part(part: LocalPart) -> Iterator[pa.RecordBatch]:
            bound = agreement.bound.parts[derived.plan.parts.index(part)]
            return watch.measure_each("local_sql", self._run_part(bound))

        if derived.technique == "local":
            return computation.run_local(derived, run_part, agreement.bound.literals)
        node = self._identity.party
        others = derived.nodes if node in derived.compute_set else derived.compute_set
        mesh = self._open_mesh(f"{key[0]}/{key[1]}", tuple(name for name in others if name != node))
        self._meshes[key] = mesh
        try:
            computed = computation.run_joint(derived, secrets, mesh, run_part, watch)
            mesh.close()
        except BaseException:
            mesh.abort()
            raise
        finally:
            del self._meshes[key]
        return computed

    def _seal(
        self, key: tuple[str, int], quote: Signed[Quote], peers: dict[str, AttemptKeys], computed: Computed
    ) -> bytes:
        acceptance_digest, number = key
        release_keys = {name: bytes.fromhex(item.release_key) for name, item in peers.items()}
        buyer = bytes.fromhex(quote.document.result_key)
        ciphertexts: dict[int, bytes] = {}
        shares = []
        for held in computed.shares:
            context = SealContext(
                acceptance_digest, number, quote.document.plan_digest, self._identity.party, held.index
            )
            ciphertexts[held.index] = seal_share(held.data, buyer, release_keys, context)
            shares.append(
                SealedShare(
                    index=held.index,
                    size=len(ciphertexts[held.index]),
                    ciphertext_digest=canonical.digest_bytes(ciphertexts[held.index]),
                    share_commitment=share_commitment(held.salt, held.data),
                )
            )
        result = SealedResult(
            environment=self._identity.environment,
            acceptance_digest=acceptance_digest,
            attempt=number,
            node=self._identity.party,
            verdict=computed.verdict,
            cells=computed.cells,
            release_key_digest=canonical.digest_bytes(release_keys[self._identity.party]),
            opening_ledger=computed.opening_ledger,
            shares=tuple(shares),
            transcript=computed.transcript,
            issued_at=clock.to_text(self._now()),
        ).sign(self._identity.signer)
        with self._store.begin() as connection:
            journal.change_attempt(
                connection,
                acceptance_digest,
                number,
                ("started",),
                status=computed.verdict,
                result=result.to_bytes(),
                **({"release_private": None} if computed.verdict == "withheld" else {}),
            )
            journal.keep_blobs(connection, acceptance_digest, number, ciphertexts)
        return result.to_bytes()


def destroy(connection: Connection, acceptance_digest: str, number: int, statement: bytes) -> None:
    """Erase a release key that was never handed out, with the statement that says so (R7).

    Raises:
        StateConflict: it was handed out.
    """
    journal.change_attempt(
        connection,
        acceptance_digest,
        number,
        ("prepared", "started", "sealed", "withheld", "destroyed"),
        status="destroyed",
        release_private=None,
        void_statement=statement,
    )


def is_past(moment: str, now: datetime) -> bool:
    """Tell whether a time of a document is reached."""
    return clock.from_text(moment) <= now


def _context(acceptance_digest: str, number: int) -> bytes:
    return f"release-key/{acceptance_digest}/{number}".encode()
