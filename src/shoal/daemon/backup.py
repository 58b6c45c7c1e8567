"""A swarm in one file: what a manager knows at one revision, so that the same swarm can be founded again.

The file is a tar archive (POSIX.1-2001) of:

- ``shoal-state``: the format, so that what is not ours, or too new, is known at once;
- ``objects/000000`` and so on: up to 1,000 objects each, as JSON lines of kind, key and the object as the store has it;
- ``manifest.json``, last: of what swarm, node and revision it is, and the SHA-256 of every part. Without it the file is
  not whole.

It holds the authority's key and the join tokens: who has it can join the swarm as a manager.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from itertools import count
from typing import IO

import msgspec

from shoal.errors import Damaged, InvalidArgument
from shoal.objects.base import encode
from shoal.objects.cluster import Cluster
from shoal.objects.node import Node
from shoal.store.backend import Change
from shoal.store.store import read_object
from shoal.store.tables import KIND_OF, Stored
from shoal.version import VERSION

FORMAT = 1
_HEAD, _MANIFEST = "shoal-state", "manifest.json"
_BATCH = 1000
# No part is larger: what says so is not one of ours.
_LARGEST = 1 << 30
_END = b"\0" * 2 * tarfile.BLOCKSIZE


class Head(msgspec.Struct, frozen=True):
    """The first part; ``shoal`` is the version that wrote it."""

    format: int
    shoal: str


class Manifest(msgspec.Struct, frozen=True):
    """The last part; ``parts`` are the SHA-256 of the others by name."""

    format: int
    shoal: str
    created: str
    cluster_id: str
    node_id: str
    revision: int
    objects: int
    parts: dict[str, str]


class Backup(msgspec.Struct, frozen=True):
    """A file that was read and proved."""

    manifest: Manifest
    cluster: Cluster
    node: Node
    objects: list[Stored]


class _Line(msgspec.Struct, frozen=True):
    kind: str
    key: str
    value: msgspec.Raw


def pack(objects: Sequence[Stored], *, revision: int, node_id: str, created: str) -> Iterator[bytes]:
    """The file, piece by piece; each is made when it is asked for, in a few milliseconds to some tens of them."""
    cluster_id = next(str(obj.id) for obj in objects if isinstance(obj, Cluster))
    parts: dict[str, str] = {}

    def part(name: str, content: bytes) -> bytes:
        parts[name] = hashlib.sha256(content).hexdigest()
        return _entry(name, content)

    yield part(_HEAD, msgspec.json.encode(Head(FORMAT, VERSION)))
    for number, start in zip(count(), range(0, len(objects), _BATCH), strict=False):
        lines = (
            msgspec.json.encode(_Line(KIND_OF[type(obj)], str(obj.id), msgspec.Raw(encode(obj))))
            for obj in objects[start : start + _BATCH]
        )
        yield part(f"objects/{number:06d}", b"\n".join(lines))
    manifest = Manifest(FORMAT, VERSION, created, cluster_id, node_id, revision, len(objects), dict(parts))
    yield _entry(_MANIFEST, msgspec.json.encode(manifest)) + _END


def _entry(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    return info.tobuf(tarfile.PAX_FORMAT) + content + b"\0" * (-len(content) % tarfile.BLOCKSIZE)


def unpack(file: IO[bytes]) -> Backup:
    """Read and prove a file. Raises InvalidArgument with what is wrong with it and what to do."""
    parts: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for info in archive:
                if not parts and info.name != _HEAD:
                    raise _foreign()
                reader = archive.extractfile(info) if info.isreg() and info.size <= _LARGEST else None
                parts[info.name] = reader.read() if reader is not None else b""
                if len(parts) == 1:
                    _check_format(parts[_HEAD])
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError, ValueError) as error:
        if _HEAD in parts:
            raise _not_whole(str(error)) from error
        raise _foreign() from error
    if _HEAD not in parts:
        raise _foreign()
    return _proved(parts)


def _proved(parts: dict[str, bytes]) -> Backup:
    try:
        manifest = msgspec.json.decode(parts.pop(_MANIFEST), type=Manifest)
    except KeyError as error:
        raise _not_whole("its end is missing") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _not_whole(f"its manifest cannot be read: {error}") from error
    for name, digest in manifest.parts.items():
        if name not in parts or hashlib.sha256(parts[name]).hexdigest() != digest:
            raise _not_whole(f"{name} is not as it was written")
    if parts.keys() != manifest.parts.keys():
        raise _not_whole("it holds parts that are not its own")
    objects = [obj for name in sorted(parts.keys() - {_HEAD}) for obj in _objects(parts[name])]
    cluster = next((obj for obj in objects if isinstance(obj, Cluster) and obj.id == manifest.cluster_id), None)
    node = next((obj for obj in objects if isinstance(obj, Node) and obj.id == manifest.node_id), None)
    if cluster is None or node is None or len(objects) != manifest.objects:
        raise _not_whole("the swarm or its manager is not in it")
    return Backup(manifest, cluster, node, objects)


def _objects(content: bytes) -> Iterator[Stored]:
    try:
        for line in content.splitlines():
            found = msgspec.json.decode(line, type=_Line)
            yield read_object(Change(found.kind, found.key, bytes(found.value)))
    except (Damaged, msgspec.MsgspecError) as error:
        raise InvalidArgument(f"the backup holds what this Shoal ({VERSION}) cannot read: {error}") from error


def _check_format(content: bytes) -> None:
    try:
        head = msgspec.json.decode(content, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _foreign() from error
    if head.format > FORMAT:
        raise InvalidArgument(
            f"the backup has format {head.format}, and this Shoal ({VERSION}) reads up to {FORMAT}: import it with "
            f"Shoal {head.shoal} or newer"
        )


def _foreign() -> InvalidArgument:
    return InvalidArgument("this is no backup of a swarm: make one with 'shoal state export FILE'")


def _not_whole(why: str) -> InvalidArgument:
    return InvalidArgument(f"the backup is not whole: {why}; copy it again, or take another one")
