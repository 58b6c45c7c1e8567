"""The images of this node: pulled, loaded, imported, saved, pushed, named, removed, and unpacked for containers.

Everything lies in containerd; this class keeps nothing that a restart would lose. What is being made is held by a
lease until an image record holds it, so the collector never takes anything that is half there.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shoal.aio.broadcast import Broadcast
from shoal.aio.clock import Clock
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.images import ImageRecords
from shoal.container.containerd.leases import lease
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.distribution.auth import ANONYMOUS, AuthConfig
from shoal.container.image.catalogue import Catalogue, Image
from shoal.container.image.layers import Layers
from shoal.container.image.load import Loads
from shoal.container.image.manifest import Platform
from shoal.container.image.names import Names
from shoal.container.image.platform import host_platform
from shoal.container.image.progress import Report, silent
from shoal.container.image.pull import Transfers
from shoal.container.image.removal import ImageUser, is_id_of, plan_removal
from shoal.container.image.save import SavedImage, write_archive
from shoal.container.reference import Reference, parse
from shoal.container.registry import Distribution, Registry
from shoal.errors import InvalidArgument, NotFound


@dataclass(frozen=True, slots=True)
class ImageEvent:
    """Something happened to an image: Docker's ``action`` (pull, push, load, import, tag, untag, delete, save)."""

    action: str
    actor: str
    name: str


@dataclass(frozen=True, slots=True)
class RemovedName:
    """A record of a removal: ``Untagged: nginx:latest``."""

    untagged: str


@dataclass(frozen=True, slots=True)
class RemovedBlob:
    """A record of a removal: ``Deleted: sha256:…``, the image or one of its layers."""

    deleted: str


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """A step of an image's making, newest first; ``id`` only at the newest, ``size`` in bytes."""

    id: str
    created: str
    created_by: str
    comment: str
    tags: tuple[str, ...]
    size: int


class ImageStore:
    """All about images. Errors are the kinds of :mod:`shoal.errors`, with Docker's texts.

    ``spool`` is a folder on a disk with room for whole images, where uploads lie while they are read.
    """

    def __init__(
        self,
        *,
        containerd: Containerd,
        content: ContentStore,
        records: ImageRecords,
        snapshots: Snapshots,
        registry: Registry,
        clock: Clock,
        spool: Path,
    ) -> None:
        self.events: Broadcast[ImageEvent] = Broadcast()
        self.platform = host_platform()
        self._containerd = containerd
        self._content = content
        self._snapshots = snapshots
        self._registry = registry
        self._clock = clock
        self._layers = Layers(containerd=containerd, content=content, snapshots=snapshots, clock=clock)
        self._catalogue = Catalogue(content=content, records=records, snapshots=snapshots)
        self._names = Names(records=records, catalogue=self._catalogue)
        self._transfers = Transfers(
            containerd=containerd,
            content=content,
            registry=registry,
            layers=self._layers,
            names=self._names,
            catalogue=self._catalogue,
            clock=clock,
        )
        self._loads = Loads(
            containerd=containerd,
            layers=self._layers,
            names=self._names,
            catalogue=self._catalogue,
            clock=clock,
            folder=spool,
        )

    async def images(self) -> list[Image]:
        """Every image, dangling ones too; newest first."""
        return sorted(await self._catalogue.images(), key=lambda image: image.config.created or "", reverse=True)

    async def inspect(self, text: str) -> Image:
        """By name, digest, id or start of the id. Raises NotFound (``No such image: …``), InvalidArgument."""
        return await self._catalogue.find(text)

    async def pull(
        self,
        reference: Reference,
        *,
        platform: Platform | None = None,
        auth: AuthConfig = ANONYMOUS,
        report: Report = silent,
    ) -> Image:
        """Pull by tag or digest; a reference that names neither pulls every tag, and returns the last.

        Raises NotFound (no such image, or not for us to see), Unavailable (no answer from the registry),
        RegistryError.
        """
        wanted = platform or self.platform
        tags = [reference]
        if reference.name_only:
            tags = [reference.with_tag(tag) for tag in await self._registry.tags(reference, auth)]
            if not tags:
                raise NotFound(f"manifest for {reference.familiar} not found: manifest unknown: manifest unknown")
        for tag in tags:
            image = await self._transfers.pull(tag, wanted, auth, report)
            self.events.send(ImageEvent("pull", tag.familiar, tag.familiar_name))
        return image

    async def push(self, reference: Reference, *, auth: AuthConfig = ANONYMOUS, report: Report = silent) -> None:
        """Push one tag, or every tag of the repository when it names none. Raises NotFound when there is none."""
        images = [
            (name, image)
            for image in await self._catalogue.images()
            for name in image.names
            if name.digest is None and (name == reference or reference.name_only and name.name == reference.name)
        ]
        if not images and reference.name_only:
            raise NotFound(f"An image does not exist locally with the tag: {reference.familiar}")
        if not images:
            raise NotFound(f"tag does not exist: {reference.familiar}")
        for name, image in images:
            await self._transfers.push(image, name, auth, report)
            self.events.send(ImageEvent("push", name.familiar, name.familiar_name))

    async def distribution(self, reference: Reference, *, auth: AuthConfig = ANONYMOUS) -> Distribution:
        """What the registry has under that name, without pulling it. Raises as :meth:`pull`."""
        return await self._registry.inspect(reference.or_latest(), auth)

    async def login(self, auth: AuthConfig) -> None:
        """Have credentials checked by the registry they are for. Raises RegistryError, Unavailable."""
        await self._registry.login(auth)

    async def load(
        self, chunks: AsyncIterator[bytes], *, platform: Platform | None = None, report: Report = silent
    ) -> list[Image]:
        """Load what ``docker save`` wrote, here or elsewhere. Raises InvalidArgument when it is not that."""
        images = await self._loads.load(chunks, platform or self.platform, report)
        for image in images:
            self.events.send(ImageEvent("load", image.id, image.id))
        return images

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        *,
        name: Reference | None = None,
        changes: Sequence[str] = (),
        message: str = "Imported from -",
        platform: Platform | None = None,
        report: Report = silent,
    ) -> Image:
        """Make an image of a root file system's tar. Raises InvalidArgument: no tar, or a change that is none."""
        if name is not None and name.digest is not None:
            raise InvalidArgument("cannot import digest reference")
        image = await self._loads.import_(
            chunks,
            name=name.or_latest() if name is not None else None,
            changes=changes,
            message=message,
            platform=platform or self.platform,
            report=report,
        )
        self.events.send(ImageEvent("import", image.id, image.id))
        return image

    async def save(self, texts: Sequence[str]) -> AsyncIterator[bytes]:
        """The archive of these images, begun once all are found. Raises NotFound, InvalidArgument."""
        wanted: dict[str, tuple[Image, list[Reference]]] = {}
        for text in texts:
            image = await self._catalogue.find(text)
            names = wanted.setdefault(image.id, (image, []))[1]
            names += [name for name in _saved_names(text, image) if name not in names]
        saved = [SavedImage(image.target, image.manifest, tuple(names)) for image, names in wanted.values()]
        for image, _names in wanted.values():
            self.events.send(ImageEvent("save", image.id, image.id))
        return write_archive(saved, self._content.read)

    async def tag(self, source: str, name: Reference) -> None:
        """Give the image another name; what had it loses it. Raises NotFound, InvalidArgument for a digest."""
        if name.digest is not None:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        image = await self._catalogue.find(source)
        await self._names.give(image.id, image.target, [name.or_latest()])
        self.events.send(ImageEvent("tag", image.id, name.or_latest().familiar))

    async def remove(
        self, text: str, *, users: Sequence[ImageUser] = (), force: bool = False
    ) -> list[RemovedName | RemovedBlob]:
        """Remove a name, or the image with its last name or by its id; returns what went, in Docker's order.

        ``users`` are the containers there are. Raises NotFound, Conflict with Docker's texts.
        """
        image = await self._catalogue.find(text)
        asked = None if is_id_of(text, image.id) else _asked_name(text, image)
        plan = plan_removal(image_id=image.id, names=image.names, asked=asked, users=users, force=force)
        await self._names.take(image, plan.untag, delete=plan.delete)
        removed: list[RemovedName | RemovedBlob] = []
        for name in plan.untag:
            removed.append(RemovedName(name.familiar))
            self.events.send(ImageEvent("untag", image.id, name.familiar))
        if plan.delete:
            removed.append(RemovedBlob(image.id))
            self.events.send(ImageEvent("delete", image.id, image.id))
            removed += [RemovedBlob(key) for key in reversed(image.chain_ids) if not await self._snapshots.exists(key)]
        return removed

    async def history(self, text: str) -> list[HistoryItem]:
        """How the image was made, newest step first. Raises NotFound."""
        image = await self._catalogue.find(text)
        keys = iter(image.chain_ids)
        found: list[HistoryItem] = []
        for entry in image.config.history or ():
            key = None if entry.empty_layer else next(keys, None)
            size = (await self._snapshots.usage(key)).size if key is not None else 0
            found.append(HistoryItem("<missing>", entry.created or "", entry.created_by, entry.comment, (), size))
        if found:
            last = found[-1]
            found[-1] = HistoryItem(image.id, last.created, last.created_by, last.comment, tuple(image.tags), last.size)
        return found[::-1]

    async def layers_size(self) -> int:
        """What all layers take unpacked, in bytes; those that images share count once."""
        keys = {key for image in await self._catalogue.images() for key in image.chain_ids}
        return sum([(await self._snapshots.usage(key)).size for key in keys])

    async def unpack(self, image: Image) -> str:
        """Make sure its layers are unpacked; returns the snapshot to stand a container's on, empty for no layers."""
        if image.chain_id and not await self._snapshots.exists(image.chain_id):
            async with lease(self._containerd, clock=self._clock) as held:
                await self._layers.unpack(image.manifest, image.config, held)
        return image.chain_id


def _saved_names(text: str, image: Image) -> list[Reference]:
    """The tags that ``text`` asks for: one, all of a repository named without a tag, none of an id or a digest."""
    if is_id_of(text, image.id):
        return []
    reference = parse(text)
    if reference.name_only:
        return [name for name in image.names if name.name == reference.name and name.digest is None]
    return [reference] if reference.digest is None else []


def _asked_name(text: str, image: Image) -> Reference:
    reference = parse(text).or_latest()
    if reference.digest is not None:
        reference = reference.with_digest(reference.digest)
    return reference
