"""Services as thin adaptors: message in, port method, message out. Checks are the interceptor's."""

# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from grpc import aio

from records.errors import MalformedDocument
from sandbox.ports import AdmissionRequest, ExchangePort, HoldRequest, JobView, NodePort, ReleaseRequest
from sandbox.rpc.v1 import exchange_service_pb2 as ex
from sandbox.rpc.v1 import messages_pb2
from sandbox.rpc.v1 import node_service_pb2 as nd
from sandbox.rpc.v1.exchange_service_pb2_grpc import ExchangeServiceServicer
from sandbox.rpc.v1.node_service_pb2_grpc import NodeServiceServicer
from sandbox.wire.interceptor import caller
from sandbox.wire.transfer import pieces

Context = aio.ServicerContext[Any, Any]


class NodeServicer(NodeServiceServicer):
    """Offers a `NodePort` as `NodeService`."""

    def __init__(self, port: NodePort) -> None:
        self._port = port

    async def AdmitJob(self, request: nd.AdmitJobRequest, context: Context) -> nd.AdmitJobResponse:
        admission = await self._port.admit(
            caller(),
            AdmissionRequest(
                request.job,
                tuple(request.party_records),
                tuple(request.product_records),
                tuple(request.memberships),
                tuple(request.key_events),
            ),
        )
        return nd.AdmitJobResponse(admission=admission)

    async def HoldBudgets(self, request: nd.HoldBudgetsRequest, context: Context) -> nd.HoldBudgetsResponse:
        hold = await self._port.hold(caller(), HoldRequest(request.quote, request.acceptance))
        return nd.HoldBudgetsResponse(hold=hold)

    async def VoidHold(self, request: nd.VoidHoldRequest, context: Context) -> nd.VoidHoldResponse:
        await self._port.void(caller(), request.acceptance_digest)
        return nd.VoidHoldResponse()

    async def PrepareAttempt(
        self, request: nd.PrepareAttemptRequest, context: Context
    ) -> nd.PrepareAttemptResponse:
        keys = await self._port.prepare(caller(), request.acceptance_digest, request.attempt)
        return nd.PrepareAttemptResponse(attempt_keys=keys)

    async def ExecuteAttempt(
        self, request: nd.ExecuteAttemptRequest, context: Context
    ) -> nd.ExecuteAttemptResponse:
        keys = tuple(request.attempt_keys)
        result = await self._port.execute(caller(), request.acceptance_digest, request.attempt, keys)
        return nd.ExecuteAttemptResponse(sealed_result=result)

    async def GetCheckpointSize(
        self, request: nd.GetCheckpointSizeRequest, context: Context
    ) -> nd.GetCheckpointSizeResponse:
        return nd.GetCheckpointSizeResponse(size=await self._port.checkpoint_size(caller()))

    async def ReleaseKey(self, request: nd.ReleaseKeyRequest, context: Context) -> nd.ReleaseKeyResponse:
        handout = await self._port.release(
            caller(),
            ReleaseRequest(
                request.token,
                request.leaf,
                tuple(request.inclusion),
                request.known_size,
                tuple(request.consistency),
                tuple(request.statements),
                request.opened,
            ),
        )
        return nd.ReleaseKeyResponse(key_handout=handout)

    async def DestroyKey(self, request: nd.DestroyKeyRequest, context: Context) -> nd.DestroyKeyResponse:
        statement = await self._port.destroy(caller(), request.acceptance_digest, request.attempt)
        return nd.DestroyKeyResponse(void_statement=statement)

    async def DeliverReceipt(
        self, request: nd.DeliverReceiptRequest, context: Context
    ) -> nd.DeliverReceiptResponse:
        await self._port.settle(caller(), request.receipt)
        return nd.DeliverReceiptResponse()

    async def CompareCheckpoints(
        self, request: nd.CompareCheckpointsRequest, context: Context
    ) -> nd.CompareCheckpointsResponse:
        checkpoint = await self._port.compare_checkpoints(caller(), request.checkpoint)
        return nd.CompareCheckpointsResponse(checkpoint=checkpoint)


class ExchangeServicer(ExchangeServiceServicer):
    """Offers an `ExchangePort` as `ExchangeService`."""

    def __init__(self, port: ExchangePort) -> None:
        self._port = port

    async def RotateKey(self, request: ex.RotateKeyRequest, context: Context) -> ex.RotateKeyResponse:
        await self._port.rotate_key(caller(), request.event, request.record)
        return ex.RotateKeyResponse()

    async def RegisterProduct(
        self, request: ex.RegisterProductRequest, context: Context
    ) -> ex.RegisterProductResponse:
        await self._port.register_product(caller(), request.record)
        return ex.RegisterProductResponse()

    async def JoinCollection(
        self, request: ex.JoinCollectionRequest, context: Context
    ) -> ex.JoinCollectionResponse:
        await self._port.join_collection(caller(), request.membership)
        return ex.JoinCollectionResponse()

    async def ListCatalogue(
        self, request: ex.ListCatalogueRequest, context: Context
    ) -> AsyncIterator[ex.ListCatalogueResponse]:
        catalogue = await self._port.catalogue(caller())
        for party in catalogue.parties:
            yield ex.ListCatalogueResponse(party=party)
        for product in catalogue.products:
            yield ex.ListCatalogueResponse(product=product)
        for membership in catalogue.memberships:
            yield ex.ListCatalogueResponse(membership=membership)
        for key_event in catalogue.key_events:
            yield ex.ListCatalogueResponse(key_event=key_event)

    async def SubmitJob(self, request: ex.SubmitJobRequest, context: Context) -> ex.SubmitJobResponse:
        return ex.SubmitJobResponse(job_id=await self._port.submit(caller(), request.job))

    async def GetJob(self, request: ex.GetJobRequest, context: Context) -> ex.GetJobResponse:
        return ex.GetJobResponse(job=_job_view(await self._port.job(caller(), request.job_id)))

    async def ListJobs(
        self, request: ex.ListJobsRequest, context: Context
    ) -> AsyncIterator[ex.ListJobsResponse]:
        for job in await self._port.jobs(caller()):
            yield ex.ListJobsResponse(job=_job_view(job))

    async def AcceptQuote(self, request: ex.AcceptQuoteRequest, context: Context) -> ex.AcceptQuoteResponse:
        await self._port.accept(caller(), request.job_id, request.acceptance)
        return ex.AcceptQuoteResponse()

    async def CancelJob(self, request: ex.CancelJobRequest, context: Context) -> ex.CancelJobResponse:
        await self._port.cancel(caller(), request.job_id, request.cancellation)
        return ex.CancelJobResponse()

    async def WatchJob(
        self, request: ex.WatchJobRequest, context: Context
    ) -> AsyncIterator[ex.WatchJobResponse]:
        async for event in self._port.watch(caller(), request.job_id, request.after):
            yield ex.WatchJobResponse(
                event=messages_pb2.JobEvent(sequence=event.sequence, state=event.state, at=event.at)
            )

    async def GetResult(self, request: ex.GetResultRequest, context: Context) -> ex.GetResultResponse:
        result = await self._port.result(caller(), request.job_id)
        blobs = [
            messages_pb2.Blob(
                node=blob.node, index=blob.index, size=blob.size, ciphertext_digest=blob.ciphertext_digest
            )
            for blob in result.blobs
        ]
        return ex.GetResultResponse(
            attempt=result.attempt,
            blobs=blobs,
            statements=result.statements,
            handouts=result.handouts,
            attempt_keys=result.attempt_keys,
            token=result.token,
            party_records=result.party_records,
            product_records=result.product_records,
            memberships=result.memberships,
        )

    async def FetchShare(
        self, request: ex.FetchShareRequest, context: Context
    ) -> AsyncIterator[ex.FetchShareResponse]:
        chunks = self._port.fetch(caller(), request.job_id, request.node, request.index, request.offset)
        async for chunk in chunks:
            for piece in pieces(chunk):
                yield ex.FetchShareResponse(chunk=piece)

    async def GetReceipt(self, request: ex.GetReceiptRequest, context: Context) -> ex.GetReceiptResponse:
        return ex.GetReceiptResponse(receipt=await self._port.receipt(caller(), request.job_id))

    async def GetStatement(
        self, request: ex.GetStatementRequest, context: Context
    ) -> ex.GetStatementResponse:
        return ex.GetStatementResponse(statement=await self._port.statement(caller()))

    async def GetCheckpoint(
        self, request: ex.GetCheckpointRequest, context: Context
    ) -> ex.GetCheckpointResponse:
        return ex.GetCheckpointResponse(checkpoint=await self._port.checkpoint(caller()))

    async def ListLeaves(
        self, request: ex.ListLeavesRequest, context: Context
    ) -> AsyncIterator[ex.ListLeavesResponse]:
        for leaf in await self._port.leaves(caller(), request.start, request.count):
            yield ex.ListLeavesResponse(leaf=leaf)

    async def ProveConsistency(
        self, request: ex.ProveConsistencyRequest, context: Context
    ) -> ex.ProveConsistencyResponse:
        proof = await self._port.consistency(caller(), request.old_size, request.new_size)
        return ex.ProveConsistencyResponse(hashes=proof.hashes)

    async def ProveInclusion(
        self, request: ex.ProveInclusionRequest, context: Context
    ) -> ex.ProveInclusionResponse:
        proof = await self._port.inclusion(caller(), request.index, request.size)
        return ex.ProveInclusionResponse(hashes=proof.hashes)

    async def GetUploadedSize(
        self, request: ex.GetUploadedSizeRequest, context: Context
    ) -> ex.GetUploadedSizeResponse:
        size = await self._port.uploaded(caller(), request.acceptance_digest, request.attempt, request.index)
        return ex.GetUploadedSizeResponse(size=size)

    async def UploadShare(
        self, request_iterator: AsyncIterator[ex.UploadShareRequest], context: Context
    ) -> ex.UploadShareResponse:
        first = await anext(request_iterator)
        if first.WhichOneof("part") != "header":
            raise MalformedDocument("an upload begins with its header")
        header = first.header
        size = await self._port.upload(
            caller(),
            header.acceptance_digest,
            header.attempt,
            header.index,
            header.offset,
            _chunks(request_iterator),
        )
        return ex.UploadShareResponse(size=size)


async def _chunks(messages: AsyncIterator[ex.UploadShareRequest]) -> AsyncIterator[bytes]:
    async for message in messages:
        if message.WhichOneof("part") != "chunk":
            raise MalformedDocument("after its header an upload holds chunks only")
        yield message.chunk


def _job_view(job: JobView) -> messages_pb2.JobView:
    return messages_pb2.JobView(
        job_id=job.job_id,
        state=job.state,
        job=job.job,
        quote=job.quote,
        acceptance=job.acceptance,
        admissions=job.admissions,
        reason=job.reason,
        attempt=job.attempt,
    )
