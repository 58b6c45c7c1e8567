"""The image store behind the API's words."""

from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from shoal.api.backends_containers import Report
from shoal.container.distribution.auth import AuthConfig as RegistryAuth
from shoal.container.image.catalogue import Image
from shoal.container.image.manifest import Platform
from shoal.container.image.platform import parse_platform
from shoal.container.image.removal import ImageUser
from shoal.container.images import HistoryItem, ImageStore, RemovedName
from shoal.container.reference import Reference, parse_image
from shoal.engine.prune import ImagePruner
from shoal.engine.records import Records
from shoal.objects.image import ImagePruneResult, ImageRemoval
from shoal.wire.docker.auth import AuthConfig


class Images:
    """See :class:`shoal.api.backends_containers.ImageBackend`."""

    def __init__(self, *, store: ImageStore, records: Records, pruner: ImagePruner) -> None:
        self._store = store
        self._records = records
        self._pruner = pruner

    async def images(self) -> Sequence[Image]:
        return await self._store.images()

    async def inspect(self, ref: str) -> Image:
        return await self._store.inspect(ref)

    async def history(self, ref: str) -> Sequence[HistoryItem]:
        return await self._store.history(ref)

    async def pull(self, name: str, tag: str, *, platform: str, auth: AuthConfig | None, report: Report) -> None:
        await self._store.pull(
            parse_image(name, tag), platform=_platform(platform), auth=registry_auth(auth), report=report
        )

    async def push(self, name: str, tag: str, *, auth: AuthConfig | None, report: Report) -> None:
        await self._store.push(parse_image(name, tag), auth=registry_auth(auth), report=report)

    async def load(self, body: AsyncIterator[bytes], *, platform: str, report: Report) -> None:
        await self._store.load(body, platform=_platform(platform), report=report)

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
        await self._store.import_(
            body,
            name=parse_image(name, tag) if name else None,
            changes=changes,
            message=message,
            platform=_platform(platform),
            report=report,
        )

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        return await self._store.save(refs)

    async def tag(self, ref: str, name: str, tag: str) -> None:
        wanted: Reference = parse_image(name, tag)
        await self._store.tag(ref, wanted)

    async def remove(self, ref: str, *, force: bool) -> Sequence[ImageRemoval]:
        removed = await self._store.remove(ref, users=self._users(), force=force)
        return [
            ImageRemoval(untagged=one.untagged) if isinstance(one, RemovedName) else ImageRemoval(deleted=one.deleted)
            for one in removed
        ]

    def _users(self) -> list[ImageUser]:
        return [ImageUser(c.id, c.image_id, c.is_running) for c in self._records.all()]

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> ImagePruneResult:
        return await self._pruner.prune(filters)


def _platform(text: str) -> Platform | None:
    return parse_platform(text) if text else None


def registry_auth(auth: AuthConfig | None) -> RegistryAuth:
    """What a client sent, in the registry's terms."""
    return msgspec.convert(msgspec.to_builtins(auth or AuthConfig()), RegistryAuth)
