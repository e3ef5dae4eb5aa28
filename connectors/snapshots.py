"""Digests of the content of a source, and the cheap sign that a file was touched."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from connectors.connector import Snapshot
from records.errors import SourceUnreadable

DIGEST_BATCH_ROWS = 65_536
GONE = "the file is missing or cannot be read; check the path and who may read it"
CHANGED = "the source changed since it was registered; register it as a new version"


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What the file system says of a file: it changes whenever the content is written or replaced."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


class KnownFile:
    """A file with the digest and the stamp that it had when it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.opened = self._stamp = file_stamp(path)
        self.digest = file_digest(path)

    def require_unchanged(self) -> FileStamp:
        """Return the present stamp; read the content again only if the file was touched (copied, re-owned).

        Raises:
            SourceUnreadable: the content differs, or is gone.
        """
        stamp = file_stamp(self.path)
        if stamp != self._stamp:
            if file_digest(self.path) != self.digest:
                raise SourceUnreadable(CHANGED)
            self._stamp = stamp
        return stamp

    def digest_now(self) -> str:
        """Return the digest of the file as it is now.

        Raises:
            SourceUnreadable: it is gone.
        """
        return file_digest(self.path)

    def require_untouched(self, since: object) -> None:
        """Return if nothing touched the file since it had the stamp `since`, so what was read was the same.

        Raises:
            SourceUnreadable: it was touched, or is gone.
        """
        if file_stamp(self.path) != since:
            raise SourceUnreadable(CHANGED)


def file_stamp(path: Path) -> FileStamp:
    """Return the stamp of the file at `path`.

    Raises:
        SourceUnreadable: there is no such file.
    """
    try:
        status = path.stat()
    except OSError:
        raise SourceUnreadable(GONE) from None
    return FileStamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def file_digest(path: Path) -> str:
    """Return `sha256:<hex>` over the bytes of the file.

    Raises:
        SourceUnreadable: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise SourceUnreadable(GONE) from None


def table_digest(table: pa.Table) -> str:
    """Return `sha256:<hex>` over the Arrow IPC stream of the rows in their order; see `content`."""
    whole = table.combine_chunks()
    batches = whole.to_batches(max_chunksize=DIGEST_BATCH_ROWS)
    return content([pa.RecordBatch.from_pylist([], whole.schema), *batches]).digest


def content(batches: Iterable[pa.RecordBatch]) -> Snapshot:
    """Return digest and number of the rows, which come in batches of `DIGEST_BATCH_ROWS` after an empty one.

    The bytes under a null, the presence of a validity bitmap and offsets carry no meaning in Arrow, so each
    column goes into the digest as its values with nulls zeroed, and a column of null marks.
    """
    sink = _HashSink()
    rows = 0
    writer = None
    for batch in batches:
        flat = _flat(batch)
        writer = writer or pa.ipc.new_stream(sink, flat.schema)
        if flat.num_rows:
            writer.write_batch(flat)
        rows += flat.num_rows
    if writer is not None:
        writer.close()
    return Snapshot("sha256:" + sink.state.hexdigest(), rows)


def _flat(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = {}
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        columns[f"{name}/values"] = _without_nulls(values)
        columns[f"{name}/nulls"] = pc.is_null(values).cast(pa.uint8())
    return pa.RecordBatch.from_pydict(columns)


def _without_nulls(values: pa.Array) -> pa.Array:
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    zero = "" if pa.types.is_string(values.type) else 0
    return pc.fill_null(values, pa.scalar(zero, values.type))


class _HashSink(io.RawIOBase):
    def __init__(self) -> None:
        self.state = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self.state.update(view)
        return view.nbytes
