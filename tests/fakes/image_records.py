"""Images and volumes in memory."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shoal.api.backends_containers import Report
from shoal.container.image.catalogue import Image
from shoal.container.image.config import ImageConfig, RootFS, RunConfig
from shoal.container.image.manifest import DOCKER_CONFIG, DOCKER_MANIFEST, Descriptor, Manifest
from shoal.container.image.progress import Progress
from shoal.container.images import HistoryItem
from shoal.container.reference import parse
from shoal.errors import NotFound
from shoal.objects.image import ImagePruneResult, ImageRemoval
from shoal.objects.results import PruneResult
from shoal.objects.volume import Volume, VolumeCreateOptions
from shoal.wire.docker.auth import AuthConfig

ID = "sha256:5abc7ee9189ee0d3f90eba2e00c9e12128b93e9975788bb20d4f8c5eca10f7b9"
LAYER = "sha256:4556a8ec7c7d7ffaf4422c1639ce1d84b240dc68d3aa478f131dd33750434f0b"


def image(*names: str, **changed: Any) -> Image:
    """An image of one layer; ``changed`` are fields of its config."""
    config: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-11-23T19:15:37.006547311Z",
        "comment": "Imported from -",
        "docker_version": "20.10.24+dfsg1",
        "config": RunConfig(cmd=["sh"]),
        "rootfs": RootFS([LAYER]),
    }
    blob = Descriptor(DOCKER_CONFIG, ID, 500)
    return Image(
        id=ID,
        names=tuple(parse(name) for name in names),
        target=Descriptor(DOCKER_MANIFEST, "sha256:" + "1" * 64, 400),
        manifest=Manifest(config=blob, layers=[]),
        config=ImageConfig(**(config | changed)),
        size=1982305,
        tagged=datetime(2026, 11, 23, 19, 15, 37, 10963, tzinfo=UTC),
    )


@dataclass
class FakeImages:
    """A :class:`shoal.api.backends_containers.ImageBackend`."""

    all: list[Image] = field(default_factory=lambda: [image("bb:latest")])
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    messages: list[Progress] = field(default_factory=list)
    failure: Exception | None = None

    async def images(self) -> Sequence[Image]:
        return self.all

    async def inspect(self, ref: str) -> Image:
        for one in self.all:
            if ref in (*one.tags, one.id) or f"{ref}:latest" in one.tags:
                return one
        raise NotFound(f"No such image: {ref}")

    async def history(self, ref: str) -> Sequence[HistoryItem]:
        await self.inspect(ref)
        return [HistoryItem(ID, "2026-11-23T19:15:37.006547311Z", "", "Imported from -", ("bb:latest",), 1982305)]

    async def pull(self, name: str, tag: str, *, platform: str, auth: AuthConfig | None, report: Report) -> None:
        self.calls.append(("pull", name, tag, platform, auth))
        self._tell(report)

    async def push(self, name: str, tag: str, *, auth: AuthConfig | None, report: Report) -> None:
        self.calls.append(("push", name, tag, auth))
        self._tell(report)

    async def load(self, body: AsyncIterator[bytes], *, platform: str, report: Report) -> None:
        self.calls.append(("load", b"".join([piece async for piece in body]), platform))
        self._tell(report)

    async def import_(
        self,
        body: AsyncIterator[bytes],
        *,
        name: str,
        tag: str,
        changes: Sequence[str],
        message: str,
        platform: str,
        report: Report,
    ) -> None:
        content = b"".join([piece async for piece in body])
        self.calls.append(("import", content, name, tag, list(changes), message, platform))
        self._tell(report)

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        for ref in refs:
            await self.inspect(ref)

        async def pieces() -> AsyncIterator[bytes]:
            for ref in refs:
                yield ref.encode()

        return pieces()

    async def tag(self, ref: str, name: str, tag: str) -> None:
        self.calls.append(("tag", ref, name, tag))

    async def remove(self, ref: str, *, force: bool) -> Sequence[ImageRemoval]:
        self.calls.append(("remove", ref, force))
        return [ImageRemoval(untagged="a/b:q"), ImageRemoval(deleted=ID)]

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> ImagePruneResult:
        self.calls.append(("prune", dict(filters)))
        return ImagePruneResult([])

    def _tell(self, report: Report) -> None:
        for message in self.messages:
            report(message)
        if self.failure is not None:
            raise self.failure


@dataclass
class FakeVolumes:
    """A :class:`shoal.api.backends_containers.VolumeBackend`."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)

    async def list(self, filters: Mapping[str, Sequence[str]]) -> Sequence[Volume]:
        self.calls.append(("list", dict(filters)))
        return [await self.get("vol")]

    async def create(self, options: VolumeCreateOptions) -> Volume:
        self.calls.append(("create", options))
        return await self.get("vol")

    async def get(self, name: str) -> Volume:
        if name != "vol":
            raise NotFound(f"get {name}: no such volume")
        return Volume(
            name=name, mountpoint="/var/lib/docker/volumes/vol/_data", created_at="2026-11-23T19:17:57Z", labels=None
        )

    async def remove(self, name: str, force: bool) -> None:
        self.calls.append(("remove", name, force))

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> PruneResult:
        self.calls.append(("prune", {key: list(found) for key, found in filters.items()}))
        return PruneResult(["vol"], 3)
