"""The buyers' and nodes' end of `ExchangeService`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from records.clock import Clock, utc_now
from records.errors import EvidenceError, PeerUnavailable
from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.ports import Blob, Caller, Catalogue, JobEvent, JobView, LogProof, ReleasedResult
from sandbox.rpc.v1 import exchange_service_pb2 as ex
from sandbox.rpc.v1 import messages_pb2
from sandbox.wire.authorisation import RULES, path
from sandbox.wire.connection import Connection
from sandbox.wire.transfer import Failures, pieces


class ExchangeClient:
    """An `ExchangePort` at the other end of a connection."""

    def __init__(
        self,
        address: str,
        identity: Identity,
        peer: PartyRecord,
        *,
        clock: Clock = utc_now,
        deadline_s: float | None = None,
    ) -> None:
        self._wire = Connection(address, identity, peer, clock=clock, deadline_s=deadline_s)

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()

    async def rotate_key(self, caller: Caller, event: bytes, record: bytes) -> None:
        """See `ExchangePort.rotate_key`."""
        message = ex.RotateKeyRequest(event=event, record=record)
        await self._wire.unary(caller, "ExchangeService/RotateKey", message, ex.RotateKeyResponse)

    async def register_product(self, caller: Caller, record: bytes) -> None:
        """See `ExchangePort.register_product`."""
        message = ex.RegisterProductRequest(record=record)
        await self._wire.unary(caller, "ExchangeService/RegisterProduct", message, ex.RegisterProductResponse)

    async def join_collection(self, caller: Caller, membership: bytes) -> None:
        """See `ExchangePort.join_collection`."""
        message = ex.JoinCollectionRequest(membership=membership)
        await self._wire.unary(caller, "ExchangeService/JoinCollection", message, ex.JoinCollectionResponse)

    async def catalogue(self, caller: Caller) -> Catalogue:
        """See `ExchangePort.catalogue`."""
        found: dict[str, list[bytes]] = {"product": [], "membership": [], "party": [], "key_event": []}
        replies = self._wire.stream(
            caller, "ExchangeService/ListCatalogue", ex.ListCatalogueRequest(), ex.ListCatalogueResponse
        )
        async for reply in replies:
            kind = reply.WhichOneof("record")
            if kind is None:
                raise EvidenceError(f"`{self._wire.peer}` sent an empty entry of its catalogue")
            found[kind].append(getattr(reply, kind))
        kinds = ("product", "membership", "party", "key_event")
        return Catalogue(*(tuple(found[kind]) for kind in kinds))

    async def submit(self, caller: Caller, job: bytes) -> str:
        """See `ExchangePort.submit`."""
        message = ex.SubmitJobRequest(job=job)
        reply = await self._wire.unary(caller, "ExchangeService/SubmitJob", message, ex.SubmitJobResponse)
        return reply.job_id

    async def job(self, caller: Caller, job_id: str) -> JobView:
        """See `ExchangePort.job`."""
        message = ex.GetJobRequest(job_id=job_id)
        reply = await self._wire.unary(caller, "ExchangeService/GetJob", message, ex.GetJobResponse)
        return _job_view(reply.job)

    async def jobs(self, caller: Caller) -> tuple[JobView, ...]:
        """See `ExchangePort.jobs`."""
        replies = self._wire.stream(
            caller, "ExchangeService/ListJobs", ex.ListJobsRequest(), ex.ListJobsResponse
        )
        return tuple([_job_view(reply.job) async for reply in replies])

    async def accept(self, caller: Caller, job_id: str, acceptance: bytes) -> None:
        """See `ExchangePort.accept`."""
        message = ex.AcceptQuoteRequest(job_id=job_id, acceptance=acceptance)
        await self._wire.unary(caller, "ExchangeService/AcceptQuote", message, ex.AcceptQuoteResponse)

    async def cancel(self, caller: Caller, job_id: str, cancellation: bytes) -> None:
        """See `ExchangePort.cancel`."""
        message = ex.CancelJobRequest(job_id=job_id, cancellation=cancellation)
        await self._wire.unary(caller, "ExchangeService/CancelJob", message, ex.CancelJobResponse)

    async def watch(self, caller: Caller, job_id: str, after: int) -> AsyncIterator[JobEvent]:
        """See `ExchangePort.watch`; resumes after the last step seen when the connection breaks."""
        method = "ExchangeService/WatchJob"
        failures = Failures(RULES[path(method)].deadline_s)
        while True:
            message = ex.WatchJobRequest(job_id=job_id, after=after)
            try:
                async for reply in self._wire.stream(caller, method, message, ex.WatchJobResponse):
                    event = reply.event
                    after = event.sequence
                    failures.forget()
                    yield JobEvent(event.sequence, event.state, event.at)
            except PeerUnavailable:
                if not await failures.may_resume():
                    raise
            else:
                return

    async def result(self, caller: Caller, job_id: str) -> ReleasedResult:
        """See `ExchangePort.result`."""
        message = ex.GetResultRequest(job_id=job_id)
        reply = await self._wire.unary(caller, "ExchangeService/GetResult", message, ex.GetResultResponse)
        blobs = tuple(Blob(blob.node, blob.index, blob.size, blob.ciphertext_digest) for blob in reply.blobs)
        return ReleasedResult(
            reply.attempt,
            blobs,
            tuple(reply.statements),
            tuple(reply.handouts),
            tuple(reply.attempt_keys),
            reply.token,
            tuple(reply.party_records),
            tuple(reply.product_records),
            tuple(reply.memberships),
        )

    async def fetch(
        self, caller: Caller, job_id: str, node: str, index: int, offset: int
    ) -> AsyncIterator[bytes]:
        """See `ExchangePort.fetch`; resumes behind the last byte received when the connection breaks."""
        method = "ExchangeService/FetchShare"
        failures = Failures(RULES[path(method)].deadline_s)
        while True:
            message = ex.FetchShareRequest(job_id=job_id, node=node, index=index, offset=offset)
            try:
                async for reply in self._wire.stream(caller, method, message, ex.FetchShareResponse):
                    offset += len(reply.chunk)
                    failures.forget()
                    yield reply.chunk
            except PeerUnavailable:
                if not await failures.may_resume():
                    raise
            else:
                return

    async def receipt(self, caller: Caller, job_id: str) -> bytes:
        """See `ExchangePort.receipt`."""
        message = ex.GetReceiptRequest(job_id=job_id)
        reply = await self._wire.unary(caller, "ExchangeService/GetReceipt", message, ex.GetReceiptResponse)
        return reply.receipt

    async def statement(self, caller: Caller) -> bytes:
        """See `ExchangePort.statement`."""
        reply = await self._wire.unary(
            caller, "ExchangeService/GetStatement", ex.GetStatementRequest(), ex.GetStatementResponse
        )
        return reply.statement

    async def checkpoint(self, caller: Caller) -> str:
        """See `ExchangePort.checkpoint`."""
        reply = await self._wire.unary(
            caller, "ExchangeService/GetCheckpoint", ex.GetCheckpointRequest(), ex.GetCheckpointResponse
        )
        return reply.checkpoint

    async def leaves(self, caller: Caller, start: int, count: int) -> tuple[bytes, ...]:
        """See `ExchangePort.leaves`."""
        message = ex.ListLeavesRequest(start=start, count=count)
        replies = self._wire.stream(caller, "ExchangeService/ListLeaves", message, ex.ListLeavesResponse)
        return tuple([reply.leaf async for reply in replies])

    async def consistency(self, caller: Caller, old_size: int, new_size: int) -> LogProof:
        """See `ExchangePort.consistency`."""
        message = ex.ProveConsistencyRequest(old_size=old_size, new_size=new_size)
        reply = await self._wire.unary(
            caller, "ExchangeService/ProveConsistency", message, ex.ProveConsistencyResponse
        )
        return LogProof(tuple(reply.hashes))

    async def inclusion(self, caller: Caller, index: int, size: int) -> LogProof:
        """See `ExchangePort.inclusion`."""
        message = ex.ProveInclusionRequest(index=index, size=size)
        reply = await self._wire.unary(
            caller, "ExchangeService/ProveInclusion", message, ex.ProveInclusionResponse
        )
        return LogProof(tuple(reply.hashes))

    async def uploaded(self, caller: Caller, acceptance_digest: str, attempt: int, index: int) -> int:
        """See `ExchangePort.uploaded`."""
        message = ex.GetUploadedSizeRequest(acceptance_digest=acceptance_digest, attempt=attempt, index=index)
        reply = await self._wire.unary(
            caller, "ExchangeService/GetUploadedSize", message, ex.GetUploadedSizeResponse
        )
        return reply.size

    async def upload(
        self,
        caller: Caller,
        acceptance_digest: str,
        attempt: int,
        index: int,
        offset: int,
        chunks: AsyncIterator[bytes],
    ) -> int:
        """See `ExchangePort.upload`; after `PeerUnavailable` ask `uploaded` and go on from there."""
        header = ex.ShareHeader(
            acceptance_digest=acceptance_digest, attempt=attempt, index=index, offset=offset
        )

        async def messages() -> AsyncIterator[ex.UploadShareRequest]:
            async for chunk in chunks:
                for piece in pieces(chunk):
                    yield ex.UploadShareRequest(chunk=piece)

        reply = await self._wire.upload(
            caller,
            "ExchangeService/UploadShare",
            ex.UploadShareRequest(header=header),
            messages(),
            ex.UploadShareResponse,
        )
        return reply.size


def _job_view(job: messages_pb2.JobView) -> JobView:
    return JobView(
        job.job_id,
        job.state,
        job.job,
        job.quote,
        job.acceptance,
        tuple(job.admissions),
        job.reason,
        job.attempt,
    )
