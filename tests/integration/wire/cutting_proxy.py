"""A TCP relay that cuts its first connections after so many bytes, as a bad network does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class CuttingProxy:
    """Relays to `target`. Connection n is cut once `cuts[n]` bytes went through it; later ones never."""

    def __init__(self, target: str, cuts: tuple[int, ...]) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._cuts = list(cuts)
        self.connections = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Run the relay; yield its address."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        async with server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        left = self._cuts.pop(0) if self._cuts else None
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(_copy(far_reader, writer, None))
        await _copy(reader, far_writer, left)
        writer.transport.abort()
        far_writer.transport.abort()
        await back


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
            if left is not None:
                left -= len(data)
                if left <= 0:
                    return
    except ConnectionError:
        return
