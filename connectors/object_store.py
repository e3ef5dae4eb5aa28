"""Files in S3-style object stores; needs the extra `objects`.

DuckDB reads them through fsspec by ranges, so that of a Parquet file only the wanted row groups and columns
travel. The locked database can read the one object alone, and holds no credentials.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from connectors import snapshots
from connectors.file_formats import StoredFile
from records.errors import MalformedDocument, SourceUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fsspec import AbstractFileSystem

SCHEME = "s3://"
BLOCK_BYTES = 4 << 20
OUT_OF_REACH = "the object is missing or cannot be read; check its address, the store and the credentials"


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object `s3://bucket/key.ending`; `storage_options` are those of `s3fs.S3FileSystem`.

    Credentials stand in the options (`key`, `secret`, or the name of a `profile`); without any, s3fs looks
    where the AWS tools do.
    """

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ObjectStamp:
    """What the store says of an object: it changes whenever the object is written."""

    etag: str
    version: str | None
    size_bytes: int
    modified: str


class KnownObject:
    """An object with the digest and the stamp that it had when it was opened."""

    def __init__(self, filesystem: AbstractFileSystem, url: str) -> None:
        self._filesystem = filesystem
        self.url = url
        self.opened = self._stamp = self._present_stamp()
        self.digest = self.digest_now()

    def digest_now(self) -> str:
        """Return `sha256:<hex>` over the bytes of the object, which is fetched in whole.

        Raises:
            SourceUnreadable: it is out of reach.
        """
        with _reachable(), self.open() as content:
            return "sha256:" + hashlib.file_digest(content, "sha256").hexdigest()

    def require_unchanged(self) -> ObjectStamp:
        """Return the present stamp; fetch the content again only if the object was written since.

        Raises:
            SourceUnreadable: the content differs, or is out of reach.
        """
        stamp = self._present_stamp()
        if stamp != self._stamp:
            if self.digest_now() != self.digest:
                raise SourceUnreadable(snapshots.CHANGED)
            self._stamp = stamp
        return stamp

    def require_untouched(self, since: object) -> None:
        """Return if nobody wrote the object since it had the stamp `since`, so what was read was the same.

        Raises:
            SourceUnreadable: it was written, or is out of reach.
        """
        if self._present_stamp() != since:
            raise SourceUnreadable(snapshots.CHANGED)

    def stored(self) -> StoredFile:
        """Return the object as a file of the format that its ending says."""
        return StoredFile(self.url, PurePosixPath(self.url).suffix.lower(), self.open)

    def open(self) -> io.BufferedReader:
        """Open the object for reading."""
        return cast("io.BufferedReader", self._filesystem.open(self.url, "rb"))

    def _present_stamp(self) -> ObjectStamp:
        with _reachable():
            info = self._filesystem.info(self.url, refresh=True)
        return ObjectStamp(info["ETag"], info.get("VersionId"), info["size"], str(info["LastModified"]))


def open_filesystem(source: ObjectFile) -> AbstractFileSystem:
    """Return the store of an object.

    Raises:
        MalformedDocument: the address is not one of S3's, or names several objects.
        SourceUnreadable: the extra is missing.
    """
    if not source.url.startswith(SCHEME) or set("*?[").intersection(source.url):
        raise MalformedDocument("an object is offered by an address `s3://bucket/key` without `*`, `?`, `[`")
    try:
        from s3fs import S3FileSystem
    except ImportError:
        raise SourceUnreadable(
            "an object store needs the extra `objects`: pip install 'usufruct[objects]'"
        ) from None
    # An answer from a cache could be of an earlier object of this name.
    fresh = {"use_listings_cache": False, "skip_instance_cache": True, "default_block_size": BLOCK_BYTES}
    return S3FileSystem(**{**source.storage_options, **fresh})


@contextmanager
def _reachable() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (OSError, BotoCoreError, ClientError):
        # Their own text holds addresses, and what the store says.
        raise SourceUnreadable(OUT_OF_REACH) from None
