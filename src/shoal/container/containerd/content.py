"""Blobs: written and read by digest in containerd's content store."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from datetime import datetime

import msgspec
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb import content_pb2 as pb
from shoal.container.containerd.wellknown import moment
from shoal.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from shoal.wire.rpc import Duplex, Streaming, Unary

CHUNK = 1 << 20
"""Bytes a message; containerd takes 16 MiB, this is where more stops being faster."""

_SERVICE = "containerd.services.content.v1.Content"
_INFO = Unary(f"{_SERVICE}/Info", pb.InfoRequest, pb.InfoResponse)
_UPDATE = Unary(f"{_SERVICE}/Update", pb.UpdateRequest, pb.UpdateResponse)
_LIST = Streaming(f"{_SERVICE}/List", pb.ListContentRequest, pb.ListContentResponse)
_DELETE = Unary(f"{_SERVICE}/Delete", pb.DeleteContentRequest, Empty)
_READ = Streaming(f"{_SERVICE}/Read", pb.ReadContentRequest, pb.ReadContentResponse)
_WRITE = Duplex(f"{_SERVICE}/Write", pb.WriteContentRequest, pb.WriteContentResponse)
_ABORT = Unary(f"{_SERVICE}/Abort", pb.AbortRequest, Empty)


class BlobInfo(msgspec.Struct, frozen=True):
    """What the store says of a blob; labels ``containerd.io/gc.ref.…`` keep what they name from the collector."""

    digest: str
    size: int
    created: datetime
    labels: Mapping[str, str]


class ContentStore:
    """The content store of one namespace. A blob that neither a lease nor a label nor an image keeps is collected."""

    def __init__(self, containerd: Containerd) -> None:
        self._containerd = containerd

    async def info(self, digest: str) -> BlobInfo:
        """Raises NotFound."""
        return _blob((await self._containerd.call(_INFO, pb.InfoRequest(digest=digest))).info)

    async def exists(self, digest: str) -> bool:
        """Whether the blob is there, whole."""
        try:
            await self.info(digest)
        except NotFound:
            return False
        return True

    async def ingest(
        self,
        digest: str,
        data: bytes | AsyncIterable[bytes],
        *,
        size: int = 0,
        labels: Mapping[str, str] | None = None,
        lease: str = "",
    ) -> None:
        """Write a blob; one that is there already only gets ``labels``. ``size`` 0 is unknown.

        Raises InvalidArgument when the data are not what ``digest`` and ``size`` say, Conflict when another writes the
        same blob now. What ``data`` raises passes; nothing half-written is left in either case.
        """
        ref = f"shoal-{digest}"
        requests = _requests(ref, digest, data, size, labels or {})
        try:
            async for _ in self._containerd.converse(_WRITE, requests, lease=lease):
                pass
        except Conflict:
            if not await self.exists(digest):
                raise
            if labels:
                await self.label(digest, labels)
        except FailedPrecondition as error:
            await self._abort(ref)
            raise InvalidArgument(f"{digest}: {error}") from error
        except BaseException:
            await self._abort(ref)
            raise

    async def read(self, digest: str, *, offset: int = 0, size: int = 0) -> AsyncIterator[bytes]:
        """The blob in chunks, from ``offset``, ``size`` bytes (0: to its end). Raises NotFound."""
        request = pb.ReadContentRequest(digest=digest, offset=offset, size=size)
        async for answer in self._containerd.stream(_READ, request):
            if answer.data:
                yield answer.data

    async def read_all(self, digest: str, *, limit: int = 16 << 20) -> bytes:
        """A small blob (manifest, configuration) whole. Raises NotFound, InvalidArgument beyond ``limit`` bytes."""
        found = bytearray()
        async for chunk in self.read(digest):
            found += chunk
            if len(found) > limit:
                raise InvalidArgument(f"{digest} is larger than {limit} bytes")
        return bytes(found)

    async def label(self, digest: str, labels: Mapping[str, str]) -> None:
        """Set these labels and leave the others; an empty value takes a label away. Raises NotFound."""
        mask = FieldMask(paths=[f"labels.{name}" for name in labels])
        request = pb.UpdateRequest(info=pb.Info(digest=digest, labels=labels), update_mask=mask)
        await self._containerd.call(_UPDATE, request)

    async def delete(self, digest: str) -> None:
        """Remove the blob now; none is no error."""
        try:
            await self._containerd.call(_DELETE, pb.DeleteContentRequest(digest=digest))
        except NotFound:
            return

    async def walk(self, *filters: str) -> AsyncIterator[BlobInfo]:
        """Every blob, or those that match any of containerd's filter expressions (``labels."name"==value``)."""
        async for answer in self._containerd.stream(_LIST, pb.ListContentRequest(filters=filters)):
            for info in answer.info:
                yield _blob(info)

    async def _abort(self, ref: str) -> None:
        try:
            await self._containerd.call(_ABORT, pb.AbortRequest(ref=ref), timeout=5.0)
        except NotFound:
            return


async def _requests(
    ref: str, digest: str, data: bytes | AsyncIterable[bytes], size: int, labels: Mapping[str, str]
) -> AsyncIterator[pb.WriteContentRequest]:
    total = len(data) if isinstance(data, bytes) else size
    yield pb.WriteContentRequest(action=pb.STAT, ref=ref, total=total, expected=digest)
    offset = 0
    async for chunk in _chunks(data):
        yield pb.WriteContentRequest(action=pb.WRITE, ref=ref, total=total, expected=digest, offset=offset, data=chunk)
        offset += len(chunk)
    yield pb.WriteContentRequest(action=pb.COMMIT, ref=ref, total=total, expected=digest, offset=offset, labels=labels)


async def _chunks(data: bytes | AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """``data`` in pieces of ``CHUNK`` at most; small ones are gathered, since each costs an answer."""
    if isinstance(data, bytes):
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]
        return
    gathered = bytearray()
    async for piece in data:
        gathered += piece
        while len(gathered) >= CHUNK:
            yield bytes(gathered[:CHUNK])
            del gathered[:CHUNK]
    if gathered:
        yield bytes(gathered)


def _blob(info: pb.Info) -> BlobInfo:
    return BlobInfo(info.digest, info.size, moment(info.created_at), dict(info.labels))
