"""Image records: a name for a descriptor, which keeps what it points at, and what that names, from the collector."""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb import images_pb2 as pb
from shoal.container.containerd.pb import types_pb2
from shoal.container.containerd.wellknown import moment
from shoal.errors import Conflict, NotFound
from shoal.wire.rpc import Unary

_SERVICE = "containerd.services.images.v1.Images"
_GET = Unary(f"{_SERVICE}/Get", pb.GetImageRequest, pb.GetImageResponse)
_LIST = Unary(f"{_SERVICE}/List", pb.ListImagesRequest, pb.ListImagesResponse)
_CREATE = Unary(f"{_SERVICE}/Create", pb.CreateImageRequest, pb.CreateImageResponse)
_UPDATE = Unary(f"{_SERVICE}/Update", pb.UpdateImageRequest, pb.UpdateImageResponse)
_DELETE = Unary(f"{_SERVICE}/Delete", pb.DeleteImageRequest, Empty)


class Descriptor(msgspec.Struct, frozen=True):
    """A typed pointer to a blob (OCI image specification, descriptor.md)."""

    media_type: str
    digest: str
    size: int


class ImageRecord(msgspec.Struct, frozen=True):
    """A name and what it points at: a manifest or an index."""

    name: str
    target: Descriptor
    labels: Mapping[str, str] = {}
    created: datetime | None = None
    updated: datetime | None = None


class ImageRecords:
    """The image records of one namespace."""

    def __init__(self, containerd: Containerd) -> None:
        self._containerd = containerd

    async def get(self, name: str) -> ImageRecord:
        """Raises NotFound."""
        return _record((await self._containerd.call(_GET, pb.GetImageRequest(name=name))).image)

    async def list(self, *filters: str) -> list[ImageRecord]:
        """Every record, or those that match any of containerd's filter expressions (``target.digest==sha256:…``)."""
        answer = await self._containerd.call(_LIST, pb.ListImagesRequest(filters=filters))
        return [_record(image) for image in answer.images]

    async def put(self, name: str, target: Descriptor, *, labels: Mapping[str, str] | None = None) -> ImageRecord:
        """Make the name point at ``target``, whether it exists or not; its labels become ``labels``."""
        image = pb.Image(name=name, target=to_pb(target), labels=labels or {})
        try:
            return _record((await self._containerd.call(_CREATE, pb.CreateImageRequest(image=image))).image)
        except Conflict:
            mask = FieldMask(paths=["target", "labels"])
            request = pb.UpdateImageRequest(image=image, update_mask=mask)
            return _record((await self._containerd.call(_UPDATE, request)).image)

    async def delete(self, name: str, *, collect: bool = False) -> None:
        """Remove the name; none is no error. ``collect`` returns only once what nothing refers to any more is gone."""
        try:
            await self._containerd.call(_DELETE, pb.DeleteImageRequest(name=name, sync=collect))
        except NotFound:
            return


def to_pb(descriptor: Descriptor) -> types_pb2.Descriptor:
    """For the other calls that take one."""
    return types_pb2.Descriptor(media_type=descriptor.media_type, digest=descriptor.digest, size=descriptor.size)


def from_pb(descriptor: types_pb2.Descriptor) -> Descriptor:
    """The same the other way round."""
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)


def _record(image: pb.Image) -> ImageRecord:
    created, updated = moment(image.created_at), moment(image.updated_at)
    return ImageRecord(image.name, from_pb(image.target), dict(image.labels), created, updated)
