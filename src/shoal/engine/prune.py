"""Taking away what nobody uses: containers that do not run, images without containers; and what they take."""

from collections.abc import Sequence

from shoal.aio.clock import Clock
from shoal.container.image.catalogue import Image
from shoal.container.image.removal import ImageUser
from shoal.container.images import ImageStore, RemovedBlob, RemovedName
from shoal.container.runtime import Runtime
from shoal.engine.containers import Containers
from shoal.engine.events import Events
from shoal.engine.filters import Filters, allows_labels, check, flag, until
from shoal.engine.records import Records
from shoal.errors import Conflict, NotFound
from shoal.objects.base import parse_time
from shoal.objects.container import Container
from shoal.objects.image import ImagePruneResult, ImageRemoval
from shoal.objects.results import PruneResult


class Sizes:
    """What containers take on the disk."""

    def __init__(self, *, records: Records, runtime: Runtime, images: ImageStore) -> None:
        self._records = records
        self._runtime = runtime
        self._images = images

    async def of(self, ref: str) -> tuple[int, int]:
        """Bytes that the container has written, and those of all it sees. Raises NotFound."""
        container = self._records.get(ref)
        own = (await self._runtime.disk_usage(container.id)).size
        try:
            image = (await self._images.inspect(container.image_id)).size
        except NotFound:  # removed by force
            image = 0
        return own, own + image


class ContainerPruner:
    """``prune`` of :class:`shoal.api.backends_containers.ContainerBackend`."""

    def __init__(
        self, *, records: Records, containers: Containers, runtime: Runtime, events: Events, clock: Clock
    ) -> None:
        self._records = records
        self._containers = containers
        self._runtime = runtime
        self._events = events
        self._clock = clock

    async def prune(self, filters: Filters) -> PruneResult:
        """Remove the containers that do not run, made before ``until`` and with the ``label`` asked for."""
        check(filters, "until", "label", "label!")
        before = until(filters, self._clock.now())
        deleted, space = list[str](), 0
        for container in self._records.all():
            if container.is_running or container.state.restarting or _is_awaited(container):
                continue
            if before is not None and parse_time(container.created) > before:
                continue
            if not allows_labels(filters, container.config.labels):
                continue
            try:
                size = (await self._runtime.disk_usage(container.id)).size
                await self._containers.remove(container.id)
            except (Conflict, NotFound):  # started, or removed, just now
                continue
            deleted.append(container.id)
            space += size
        self._events.emit("container", "prune", "", {"reclaimed": str(space)})
        return PruneResult(deleted=deleted, space=space)


class ImagePruner:
    """``prune`` of :class:`shoal.api.backends_containers.ImageBackend`."""

    def __init__(self, *, store: ImageStore, records: Records, events: Events, clock: Clock) -> None:
        self._store = store
        self._records = records
        self._events = events
        self._clock = clock

    async def prune(self, filters: Filters) -> ImagePruneResult:
        """Remove the images without a name, and with ``dangling=false`` all that no container was made from."""
        check(filters, "dangling", "until", "label", "label!")
        dangling, before = flag(filters, "dangling") is not False, until(filters, self._clock.now())
        total = await self._store.layers_size()
        removed: list[ImageRemoval] = []
        for image in await self._store.images():
            users = [ImageUser(c.id, c.image_id, c.is_running) for c in self._records.all()]
            if any(user.image_id == image.id for user in users) or (dangling and image.tags):
                continue
            made = image.config.created
            if before is not None and made and parse_time(made) > before:
                continue
            if allows_labels(filters, image.run_config.labels):
                removed += await self._remove(image, users)
        space = max(total - await self._store.layers_size(), 0)
        self._events.emit("image", "prune", "", {"reclaimed": str(space)})
        return ImagePruneResult(removed=removed, space=space)

    async def _remove(self, image: Image, users: Sequence[ImageUser]) -> Sequence[ImageRemoval]:
        removed: list[RemovedName | RemovedBlob] = []
        for text in [name.familiar for name in image.names] or [image.id]:
            try:
                removed += await self._store.remove(text, users=users)
            except (Conflict, NotFound):  # it got a container, or was removed, just now
                break
        return [
            ImageRemoval(untagged=one.untagged) if isinstance(one, RemovedName) else ImageRemoval(deleted=one.deleted)
            for one in removed
        ]


def _is_awaited(container: Container) -> bool:
    """Whether the agent is about to start it."""
    return bool(container.task_id) and container.state.status == "created"
