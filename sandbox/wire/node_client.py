"""The exchange's end of `NodeService` (and another node's, for checkpoints)."""

from __future__ import annotations

from records.clock import Clock, utc_now
from records.parties import PartyRecord
from sandbox.identity import Identity
from sandbox.ports import AdmissionRequest, Caller, HoldRequest, ReleaseRequest
from sandbox.rpc.v1 import node_service_pb2 as nd
from sandbox.wire.connection import Connection


class NodeClient:
    """A `NodePort` at the other end of a connection."""

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

    async def admit(self, caller: Caller, request: AdmissionRequest) -> bytes:
        """See `NodePort.admit`."""
        message = nd.AdmitJobRequest(
            job=request.job,
            party_records=request.party_records,
            product_records=request.product_records,
            memberships=request.memberships,
            key_events=request.key_events,
        )
        reply = await self._wire.unary(caller, "NodeService/AdmitJob", message, nd.AdmitJobResponse)
        return reply.admission

    async def hold(self, caller: Caller, request: HoldRequest) -> bytes:
        """See `NodePort.hold`."""
        message = nd.HoldBudgetsRequest(quote=request.quote, acceptance=request.acceptance)
        reply = await self._wire.unary(caller, "NodeService/HoldBudgets", message, nd.HoldBudgetsResponse)
        return reply.hold

    async def void(self, caller: Caller, acceptance_digest: str) -> None:
        """See `NodePort.void`."""
        message = nd.VoidHoldRequest(acceptance_digest=acceptance_digest)
        await self._wire.unary(caller, "NodeService/VoidHold", message, nd.VoidHoldResponse)

    async def prepare(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        """See `NodePort.prepare`."""
        message = nd.PrepareAttemptRequest(acceptance_digest=acceptance_digest, attempt=attempt)
        reply = await self._wire.unary(
            caller, "NodeService/PrepareAttempt", message, nd.PrepareAttemptResponse
        )
        return reply.attempt_keys

    async def execute(
        self, caller: Caller, acceptance_digest: str, attempt: int, keys: tuple[bytes, ...]
    ) -> bytes:
        """See `NodePort.execute`."""
        message = nd.ExecuteAttemptRequest(
            acceptance_digest=acceptance_digest, attempt=attempt, attempt_keys=keys
        )
        reply = await self._wire.unary(
            caller, "NodeService/ExecuteAttempt", message, nd.ExecuteAttemptResponse
        )
        return reply.sealed_result

    async def checkpoint_size(self, caller: Caller) -> int:
        """See `NodePort.checkpoint_size`."""
        reply = await self._wire.unary(
            caller,
            "NodeService/GetCheckpointSize",
            nd.GetCheckpointSizeRequest(),
            nd.GetCheckpointSizeResponse,
        )
        return reply.size

    async def release(self, caller: Caller, request: ReleaseRequest) -> bytes:
        """See `NodePort.release`."""
        message = nd.ReleaseKeyRequest(
            token=request.token,
            leaf=request.leaf,
            inclusion=request.inclusion,
            known_size=request.known_size,
            consistency=request.consistency,
            statements=request.statements,
            opened=request.opened,
        )
        reply = await self._wire.unary(caller, "NodeService/ReleaseKey", message, nd.ReleaseKeyResponse)
        return reply.key_handout

    async def destroy(self, caller: Caller, acceptance_digest: str, attempt: int) -> bytes:
        """See `NodePort.destroy`."""
        message = nd.DestroyKeyRequest(acceptance_digest=acceptance_digest, attempt=attempt)
        reply = await self._wire.unary(caller, "NodeService/DestroyKey", message, nd.DestroyKeyResponse)
        return reply.void_statement

    async def settle(self, caller: Caller, receipt: bytes) -> None:
        """See `NodePort.settle`."""
        message = nd.DeliverReceiptRequest(receipt=receipt)
        await self._wire.unary(caller, "NodeService/DeliverReceipt", message, nd.DeliverReceiptResponse)

    async def compare_checkpoints(self, caller: Caller, checkpoint: str) -> str:
        """See `NodePort.compare_checkpoints`."""
        message = nd.CompareCheckpointsRequest(checkpoint=checkpoint)
        reply = await self._wire.unary(
            caller, "NodeService/CompareCheckpoints", message, nd.CompareCheckpointsResponse
        )
        return reply.checkpoint
