"""What the stages of a job do at the exchange. `sandbox.lifecycle.advance` calls these in order.

Each method may be called again after a crash: nodes answer a repeated call with what they answered
before, money moves under ids derived from the job, and what a stage wants written is handed back
to be committed together with the change of state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from policies.disclosure import WITHHELD
from records.clock import Clock
from records.document import Document, Signed
from records.errors import (
    EvidenceError,
    InputError,
    JobRefused,
    LimitExceeded,
    PeerUnavailable,
    Reason,
    RefusedError,
    RequestExpired,
    StateConflict,
    UsufructError,
)
from records.job import Admission, AttemptKeys, Hold, Quote, SealedResult, VoidStatement
from sandbox.exchange import jobs, money
from sandbox.exchange.keyring import Keyring
from sandbox.exchange.metering import PREPARED, RECEIPT, SEALED, Metering, PendingRelease
from sandbox.exchange.quoting import Quoting
from sandbox.lifecycle import JobSnapshot, Outcome, State
from sandbox.outcome import agreed_outcome
from sandbox.ports import Caller, HoldRequest, NodePort
from sandbox.store import Store

logger = logging.getLogger(__name__)
T = TypeVar("T")
D = TypeVar("D", bound=Document)

MAX_ATTEMPTS = 2
MAX_PROOFS = 16
"""So often a node is asked in a row while other releases move the log on."""


class JobEffects:
    """The effects of one exchange; see `sandbox.lifecycle.Effects`."""

    def __init__(
        self,
        *,
        caller: Caller,
        store: Store,
        keyring: Keyring,
        quoting: Quoting,
        metering: Metering,
        nodes: Callable[[str], NodePort],
        clock: Clock,
    ) -> None:
        """`nodes` gives the port of a registered node by name."""
        self._caller = caller
        self._store = store
        self._keyring = keyring
        self._quoting = quoting
        self._metering = metering
        self._nodes = nodes
        self._clock = clock

    async def admit(self, job: JobSnapshot) -> Outcome:
        """Ask every node of the job for its own decision; the strictest wins."""
        try:
            with self._store.read() as connection:
                derived, request = self._quoting.derive(connection, job.job_id)
        except JobRefused as refusal:
            return await self.end(job, State.REFUSED, refusal.reasons)
        except (InputError, LimitExceeded) as fault:
            reason = Reason("planner", f"query.{fault.code}", "a plan", str(fault), "correct the query")
            return await self.end(job, State.REFUSED, (reason,))
        answers = await self._ask(derived.nodes, lambda node: node.admit(self._caller, request))
        admissions = self._verified(Admission, answers)
        reasons = tuple(
            record.reason()
            for signed in admissions.values()
            if signed.document.effect != "permit"
            for record in signed.document.reasons
        )
        with self._store.begin() as connection:
            jobs.keep(connection, job.job_id, "admission", 0, answers)
            self._quoting.fix_records(connection, job.job_id, request)
        if any(signed.document.effect != "permit" for signed in admissions.values()):
            return await self.end(job, State.REFUSED, reasons)
        return Outcome(State.ADMITTED, _nothing)

    async def quote(self, job: JobSnapshot) -> Outcome:
        """Sign a price for what every node admitted; refuse where the buyer's cap is below it."""
        try:
            with self._store.read() as connection:
                quote = self._quoting.quote(connection, job.job_id, self._clock())
        except JobRefused as refusal:
            return await self.end(job, State.REFUSED, refusal.reasons)
        return Outcome(
            State.QUOTED, lambda connection: jobs.set_quote(connection, job.job_id, quote.to_bytes())
        )

    async def hold(self, job: JobSnapshot) -> Outcome:
        """Reserve money here and uses at every node: all or none."""
        with self._store.begin() as connection:
            quote = jobs.signed_quote(connection, job.job_id)
            acceptance = jobs.signed_acceptance(connection, job.job_id)
            try:
                money.hold(
                    connection,
                    job.job_id,
                    acceptance.document.buyer,
                    quote.document.charge,
                    job.expires_at,
                    self._clock(),
                )
            except RefusedError as refusal:
                reasons: tuple[Reason, ...] = refusal.reasons
            else:
                reasons = ()
        if reasons:
            return await self.end(job, State.REFUSED, reasons)
        request = HoldRequest(quote.to_bytes(), acceptance.to_bytes())
        try:
            answers = await self._ask(quote.document.nodes, lambda node: node.hold(self._caller, request))
        except (RefusedError, EvidenceError, StateConflict) as refusal:
            reasons = refusal.reasons if isinstance(refusal, RefusedError) else (_node_reason(str(refusal)),)
            return await self.end(job, State.REFUSED, reasons)
        holds = self._verified(Hold, answers)
        if any(hold.document.acceptance_digest != acceptance.digest for hold in holds.values()):
            raise EvidenceError("a node signed a hold for another acceptance")
        return Outcome(State.HELD, lambda connection: jobs.keep(connection, job.job_id, "hold", 0, answers))

    async def execute(self, job: JobSnapshot) -> Outcome | None:
        """Run the present attempt; number a new one where there is none or it was lost (R4)."""
        with self._store.read() as connection:
            quote = jobs.signed_quote(connection, job.job_id)
            acceptance_digest = jobs.signed_acceptance(connection, job.job_id).digest
        if job.attempt == 0:
            self._start_attempt(job)
            return None
        try:
            return await self._run_attempt(job, quote, acceptance_digest)
        except (StateConflict, EvidenceError) as fault:
            # A silent node is asked again (PeerUnavailable passes through); a lost attempt is not resumed.
            logger.warning(
                "attempt failed", extra={"job": job.job_id, "attempt": job.attempt, "fault": fault.code}
            )
            if job.attempt < MAX_ATTEMPTS:
                self._start_attempt(job)
                return None
            return await self.end(job, State.FAILED, (_node_reason(str(fault)),))

    async def meter(self, job: JobSnapshot) -> Outcome:
        """Book the agreed outcome: a release, or a withheld result."""
        with self._store.read() as connection:
            quote = jobs.signed_quote(connection, job.job_id).document
            statements = jobs.documents(connection, job.job_id, SEALED, job.attempt)
        outcome = agreed_outcome(quote, self._results(statements.items()))
        if outcome.verdict == "withheld":
            return Outcome(
                State.WITHHELD,
                lambda connection: self._metering.book_withheld(connection, job.job_id, self._clock()),
                (WITHHELD,),
            )
        return Outcome(
            State.METERED,
            lambda connection: self._metering.book_release(
                connection, job.job_id, job.attempt, outcome, self._clock()
            ),
        )

    async def release(self, job: JobSnapshot) -> Outcome:
        """Collect every node's key against the token; past its time, reverse on a void statement (R7)."""
        request = self._metering.release_request(job.job_id, job.attempt)
        for name in request.nodes:
            if name in self._metering.handouts(job.job_id, job.attempt):
                continue
            if self._clock() >= request.expires_at:
                return await self._reverse(job, request)
            try:
                await self._collect_key(job, name, request)
            except (EvidenceError, StateConflict) as fault:
                logger.warning("key refused", extra={"job": job.job_id, "node": name, "fault": fault.code})
                return await self._reverse(job, request)
        return self._released(job)

    async def settle(self, job: JobSnapshot) -> Outcome:
        """Bring the nodes their receipts, and split the charge."""
        with self._store.read() as connection:
            nodes = jobs.signed_quote(connection, job.job_id).document.nodes
            receipts = jobs.documents(connection, job.job_id, RECEIPT, 0)
        for name in nodes:
            try:
                await self._nodes(name).settle(self._caller, receipts[name])
            except PeerUnavailable:
                # It finds its receipt here when it is back; nobody's money waits for that.
                logger.warning("receipt not delivered", extra={"job": job.job_id, "node": name})
        return Outcome(
            State.SETTLED,
            lambda connection: self._metering.book_settlement(
                connection, job.job_id, job.attempt, self._clock()
            ),
        )

    async def end(self, job: JobSnapshot, to: State, reasons: tuple[Reason, ...]) -> Outcome:
        """Void what is held at the nodes and here, and log why the job ended."""
        with self._store.read() as connection:
            held = job.accepted and job.state in (State.QUOTED, State.HELD, State.EXECUTED)
            quote = jobs.signed_quote(connection, job.job_id) if held else None
            acceptance = jobs.signed_acceptance(connection, job.job_id) if held else None
        if quote is not None and acceptance is not None:
            await self._void_at_nodes(quote.document.nodes, acceptance.digest)
        return Outcome(
            to,
            lambda connection: self._metering.book_end(connection, job.job_id, to, reasons, self._clock()),
            reasons,
        )

    def commit(self, job: JobSnapshot, outcome: Outcome) -> None:
        """Move the job and write, in one transaction."""
        with self._store.begin() as connection:
            jobs.move(connection, job, outcome, self._clock())

    def _start_attempt(self, job: JobSnapshot) -> None:
        with self._store.begin() as connection:
            jobs.start_attempt(connection, job)

    async def _run_attempt(self, job: JobSnapshot, quote: Signed[Quote], acceptance_digest: str) -> Outcome:
        nodes, attempt = quote.document.nodes, job.attempt
        with self._store.read() as connection:
            keys = jobs.documents(connection, job.job_id, PREPARED, attempt)
        if set(keys) != set(nodes):
            answers = await self._ask(
                nodes, lambda node: node.prepare(self._caller, acceptance_digest, attempt)
            )
            keys = {name: signed.to_bytes() for name, signed in self._verified(AttemptKeys, answers).items()}
            with self._store.begin() as connection:
                jobs.keep(connection, job.job_id, PREPARED, attempt, keys.items())
        envelopes = tuple(keys[name] for name in sorted(keys))
        statements = await self._ask_together(
            nodes, lambda node: node.execute(self._caller, acceptance_digest, attempt, envelopes)
        )
        results = self._results(statements)
        agreed_outcome(quote.document, results)
        with self._store.read() as connection:
            self._metering.check_sealed(connection, job.job_id, attempt, acceptance_digest, results)
        return Outcome(
            State.EXECUTED, lambda connection: jobs.keep(connection, job.job_id, SEALED, attempt, statements)
        )

    def _released(self, job: JobSnapshot) -> Outcome:
        return Outcome(
            State.RELEASED,
            lambda connection: self._metering.book_receipts(
                connection, job.job_id, job.attempt, self._clock()
            ),
        )

    async def _collect_key(self, job: JobSnapshot, name: str, request: PendingRelease) -> None:
        node = self._nodes(name)
        for tries_left in reversed(range(MAX_PROOFS)):
            known_size = await node.checkpoint_size(self._caller)
            try:
                handout = await node.release(self._caller, self._metering.for_node(request, known_size))
            except RequestExpired:
                # Another job's release overtook this one: the node knows more of the log by now.
                if not tries_left or self._clock() >= request.expires_at:
                    raise
            else:
                self._metering.keep_handout(job.job_id, job.attempt, name, handout)
                return

    async def _reverse(self, job: JobSnapshot, request: PendingRelease) -> Outcome:
        with self._store.read() as connection:
            acceptance_digest = jobs.signed_acceptance(connection, job.job_id).digest
        handed = self._metering.handouts(job.job_id, job.attempt)
        voids: list[Signed[VoidStatement]] = []
        silent: list[str] = []
        for name in request.nodes:
            if name in handed:
                continue
            try:
                statement = await self._nodes(name).destroy(self._caller, acceptance_digest, job.attempt)
            except PeerUnavailable:
                silent.append(name)
            except StateConflict:
                # It journalled its key as handed out in time, and the answer was lost: it repeats it.
                await self._collect_key(job, name, request)
            else:
                voids.append(self._metering.verified_void(name, statement, acceptance_digest, job.attempt))
        if voids:
            names = ", ".join(f"`{void.document.node}`" for void in voids)
            return Outcome(
                State.FAILED,
                partial(self._metering.book_reversal, job_id=job.job_id, voids=voids, now=self._clock()),
                (_node_reason(f"the key was destroyed before it was handed out, by {names}"),),
            )
        if not silent:
            return self._released(job)  # every key is here after all
        # Never by a timeout: the charge stays pending, and the log names who is silent.
        self._metering.name_silent(job.job_id, tuple(silent), self._clock())
        raise PeerUnavailable("no node has said that its key is destroyed; the charge stays pending")

    async def _void_at_nodes(self, nodes: Iterable[str], acceptance_digest: str) -> None:
        async def void(name: str) -> None:
            try:
                await self._nodes(name).void(self._caller, acceptance_digest)
            except PeerUnavailable:
                # Its hold expires by itself: the node voids what was never started.
                logger.warning("node not told of a void", extra={"node": name})

        await asyncio.gather(*(void(name) for name in nodes))

    async def _ask(
        self, names: Iterable[str], question: Callable[[NodePort], Awaitable[bytes]]
    ) -> list[tuple[str, bytes]]:
        ordered = sorted(names)
        results = await asyncio.gather(
            *(question(self._nodes(name)) for name in ordered), return_exceptions=True
        )
        faults = [result for result in results if isinstance(result, BaseException)]
        if faults:
            raise _worst(faults)
        return list(zip(ordered, (result for result in results if isinstance(result, bytes)), strict=True))

    async def _ask_together(
        self, names: Iterable[str], question: Callable[[NodePort], Awaitable[bytes]]
    ) -> list[tuple[str, bytes]]:
        """Ask all nodes something they can only do together: once one cannot, nobody is waited for."""
        ordered = sorted(names)

        async def ask(name: str) -> bytes:
            return await question(self._nodes(name))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(name)) for name in ordered]
        except* UsufructError as group_of_faults:
            raise _worst(list(group_of_faults.exceptions)) from None
        return [(name, task.result()) for name, task in zip(ordered, tasks, strict=True)]

    def _results(self, statements: Iterable[tuple[str, bytes]]) -> dict[str, SealedResult]:
        return {name: signed.document for name, signed in self._verified(SealedResult, statements).items()}

    def _verified(self, kind: type[D], answers: Iterable[tuple[str, bytes]]) -> dict[str, Signed[D]]:
        return {name: self._keyring.verified(kind, name, envelope) for name, envelope in answers}


def _worst(faults: list[BaseException]) -> BaseException:
    # A refusal says more than a silence that it may have caused at the others.
    ranked = (RefusedError, EvidenceError, StateConflict, PeerUnavailable)
    for kind in ranked:
        for fault in faults:
            if isinstance(fault, kind):
                return _merged(faults) if kind is RefusedError else fault
    return faults[0]


def _merged(faults: list[BaseException]) -> JobRefused:
    return JobRefused(
        tuple(reason for fault in faults if isinstance(fault, RefusedError) for reason in fault.reasons)
    )


def _node_reason(text: str) -> Reason:
    return Reason("exchange", "execution", "a result", text, "submit the job again; nothing was charged")


def _nothing(_: Connection) -> None:
    return None
