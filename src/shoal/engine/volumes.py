"""The node's volumes: folders that outlive containers, kept by the ``local`` driver; and the mounts made of them.

A volume with driver options (tmpfs, a folder, NFS) is mounted while a container uses it: :meth:`Volumes.mount` before a
container starts, :meth:`Volumes.unmount` after it has ended.
"""

import asyncio
import os
import re
import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.container.runtime import Runtime
from shoal.durable.faults import refusal
from shoal.engine import rootview
from shoal.engine.events import Events
from shoal.engine.filters import Filters, allows_labels, check, flag
from shoal.engine.mounts import Wanted
from shoal.engine.records import Records
from shoal.engine.volumemount import checked_options, mount_call
from shoal.errors import Conflict, InvalidArgument, NotFound, ShoalError
from shoal.kernel.mounts import is_mounted, mount, open_in, unmount, view
from shoal.localdb.localdb import Delete, LocalDB
from shoal.objects.base import timestamp
from shoal.objects.container import Container, MountPoint
from shoal.objects.results import PruneResult
from shoal.objects.volume import Volume, VolumeCreateOptions, VolumeUsage

_KIND = "volume"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_ANONYMOUS = "com.docker.volume.anonymous"

Points = list[MountPoint]


class Volumes:
    """All volumes; see :class:`shoal.api.backends_containers.VolumeBackend`. ``root`` is ``<data-root>/volumes``."""

    def __init__(
        self, *, records: Records, runtime: Runtime, db: LocalDB, events: Events, clock: Clock, root: Path
    ) -> None:
        self._records = records
        self._runtime = runtime
        self._db = db
        self._events = events
        self._clock = clock
        self._root = root
        self._volumes: dict[str, Volume] = {}
        # Volumes of containers that are being made and have no record yet, and of those that have them mounted.
        self._claims: dict[str, set[str]] = defaultdict(set)
        self._mounted: dict[str, set[str]] = defaultdict(set)
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read what there is from the database, once the containers' records have been read."""
        self._volumes = await self._db.load(_KIND, Volume)
        for container in self._records.running():
            for volume in self._of(container.mounts):
                self._mounted[volume.name].add(container.id)

    async def create(self, options: VolumeCreateOptions) -> Volume:
        """A new volume, or the one of that name. Raises InvalidArgument, NotFound (the driver), Conflict (the name)."""
        async with self._lock:
            return await self._create(options)

    async def get(self, name: str) -> Volume:
        """Raises NotFound."""
        if (volume := self._volumes.get(name)) is None:
            raise NotFound(f"get {name}: no such volume")
        return volume

    async def list(self, filters: Filters) -> Sequence[Volume]:
        """By ``name`` (a part of it), ``driver``, ``label`` and ``dangling``."""
        check(filters, "name", "driver", "label", "dangling")
        dangling, counts = flag(filters, "dangling"), self._reference_counts()
        return [
            volume
            for volume in self._volumes.values()
            if allows_labels(filters, volume.labels)
            and (not filters.get("name") or any(part in volume.name for part in filters["name"]))
            and (not filters.get("driver") or volume.driver in filters["driver"])
            and (dangling is None or dangling == (counts[volume.name] == 0))
        ]

    async def usage(self) -> Sequence[Volume]:
        """All, each with the bytes it takes and how many containers refer to it."""
        counts, volumes = self._reference_counts(), sorted(self._volumes.values(), key=lambda v: v.name)
        sizes = await asyncio.to_thread(lambda: [-1 if v.options else _size(Path(v.mountpoint)) for v in volumes])
        return [
            replace(volume, usage_data=VolumeUsage(size=size, ref_count=counts[volume.name]))
            for volume, size in zip(volumes, sizes, strict=True)
        ]

    async def remove(self, name: str, force: bool) -> None:
        """Raises NotFound (not with ``force``), Conflict when a container refers to it."""
        async with self._lock:
            volume = self._volumes.get(name)
            if volume is None:
                if force:
                    return
                raise NotFound(f"get {name}: no such volume")
            if users := self._users(name):
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
            await self._remove(volume)

    async def prune(self, filters: Filters) -> PruneResult:
        """Remove what no container refers to: anonymous volumes, and with the filter ``all`` every other too."""
        check(filters, "all", "label", "label!")
        everything = bool(flag(filters, "all"))
        deleted, space = list[str](), 0
        async with self._lock:
            for volume in list(self._volumes.values()):
                wanted = everything or _is_anonymous(volume)
                if wanted and allows_labels(filters, volume.labels) and not self._users(volume.name):
                    space += 0 if volume.options else await asyncio.to_thread(_size, Path(volume.mountpoint))
                    await self._remove(volume)
                    deleted.append(volume.name)
        self._events.emit("volume", "prune", "", {"reclaimed": str(space)})
        return PruneResult(deleted=deleted, space=space)

    async def resolve(self, wanted: Sequence[Wanted], *, container_id: str) -> Points:
        """What binds and volumes come to on this host, for a container that the runtime has and that does not run yet.

        Volumes that are not there are made; into an empty one goes what the image has at its place. On failure what was
        made for this container alone is gone again. Raises InvalidArgument for a bind whose source is not there.
        """
        try:
            return [await self._resolve(mount, container_id) for mount in wanted if mount.type in ("bind", "volume")]
        except BaseException:
            await self._release(container_id, self._claims.get(container_id, ()), anonymous=True)
            raise

    async def release(self, container: Container, *, anonymous: bool) -> None:
        """The container is removed: its volumes may go, and with ``anonymous`` those that only it had do."""
        await self.unmount(container)
        names = [point.name for point in container.mounts if point.type == "volume" and point.name]
        await self._release(container.id, names, anonymous=anonymous)

    async def mount(self, container: Container) -> None:
        """Have the container's volumes mounted that need to be, before it starts; again is fine. Raises Internal."""
        async with self._lock:
            for volume in self._of(container.mounts):
                await self._mount(volume, container.id)

    async def unmount(self, container: Container) -> None:
        """The container has ended: unmount what nobody else uses."""
        async with self._lock:
            for volume in self._of(container.mounts):
                await self._unmount(volume, container.id)

    async def _create(self, options: VolumeCreateOptions) -> Volume:
        name = options.name or secrets.token_hex(32)
        if (driver := options.driver or "local") != "local":
            why = f'error looking up volume plugin {driver}: plugin "{driver}" not found'
            raise NotFound(f"create {name}: {why}")
        if len(name) == 1:
            raise InvalidArgument("volume name is too short, names should be at least two alphanumeric characters")
        if not _NAME.match(name) or len(name) > 255:
            raise InvalidArgument(
                f'create {name}: "{name}" includes invalid characters for a local volume name, only '
                '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
            )
        if (volume := self._volumes.get(name)) is not None:
            return volume
        driver_options = checked_options(name, options.driver_opts or {})
        labels = dict(options.labels or {}) | ({} if options.name else {_ANONYMOUS: ""})
        folder = self._root / name / "_data"
        await asyncio.to_thread(_make, self._root, folder)
        volume = Volume(
            created_at=timestamp(self._clock.now()),
            labels=labels or None,
            mountpoint=str(folder),
            name=name,
            options=driver_options or None,
        )
        self._volumes[name] = volume
        try:
            await self._db.put(_KIND, name, volume)
        except ShoalError:
            del self._volumes[name]
            raise
        self._events.emit("volume", "create", name, {"driver": "local"})
        return volume

    async def _remove(self, volume: Volume) -> None:
        folder = Path(volume.mountpoint)
        await asyncio.to_thread(_delete, folder)
        del self._volumes[volume.name]
        self._mounted.pop(volume.name, None)
        await self._db.keep([Delete(_KIND, volume.name)])
        self._events.emit("volume", "destroy", volume.name, {"driver": volume.driver})

    async def _resolve(self, wanted: Wanted, container_id: str) -> MountPoint:
        if wanted.type == "bind":
            await asyncio.to_thread(_check_source, wanted)
            return MountPoint(
                type="bind",
                source=wanted.source,
                destination=wanted.destination,
                mode=wanted.mode,
                rw=not wanted.read_only,
                propagation=wanted.propagation or "rprivate",
            )
        async with self._lock:
            options = VolumeCreateOptions(
                name=wanted.source, driver=wanted.driver, driver_opts=wanted.driver_options, labels=wanted.labels
            )
            volume = await self._create(options)
            self._claims[container_id].add(volume.name)
            if wanted.copy:
                await self._fill(volume, wanted.destination, container_id)
        return MountPoint(
            type="volume",
            name=volume.name,
            source=volume.mountpoint,
            destination=wanted.destination,
            driver=volume.driver,
            mode=wanted.mode or "z",
            rw=not wanted.read_only,
        )

    async def _fill(self, volume: Volume, place: str, container_id: str) -> None:
        """Copy what the container's image has at ``place`` into the volume, if that is empty."""
        await self._mount(volume, container_id)
        try:
            target = Path(volume.mountpoint)
            if await asyncio.to_thread(lambda: any(target.iterdir())):
                return
            root = rootview.read_only(await self._runtime.rootfs(container_id))
            folder = await asyncio.to_thread(_folder_in, lambda: view(root), place)
            if folder is None:
                return
            try:
                # The tool knows links, devices, extended attributes and sparse files; the folder's own owner and
                # mode come along with ``/.``.
                process = await asyncio.create_subprocess_exec(
                    "cp", "-a", "--", f"/proc/self/fd/{folder}/.", str(target), pass_fds=(folder,)
                )
                if await process.wait():
                    raise Conflict(f"failed to copy the image's files at {place} to the volume {volume.name}")
            finally:
                os.close(folder)
        finally:
            await self._unmount(volume, container_id)

    async def _mount(self, volume: Volume, container_id: str) -> None:
        if not volume.options:
            return
        users, target = self._mounted[volume.name], Path(volume.mountpoint)
        if not await asyncio.to_thread(is_mounted, target):
            call = await mount_call(volume.options)
            await asyncio.to_thread(mount, call, target)
            self._events.emit("volume", "mount", volume.name, {"driver": volume.driver, "container": container_id})
        users.add(container_id)

    async def _unmount(self, volume: Volume, container_id: str) -> None:
        users = self._mounted[volume.name]
        if container_id in users:
            users.discard(container_id)
            if not users:
                await asyncio.to_thread(unmount, Path(volume.mountpoint))
                attributes = {"driver": volume.driver, "container": container_id}
                self._events.emit("volume", "unmount", volume.name, attributes)

    async def _release(self, container_id: str, names: Iterable[str], *, anonymous: bool) -> None:
        async with self._lock:
            self._claims.pop(container_id, None)
            for name in dict.fromkeys(names) if anonymous else ():
                volume = self._volumes.get(name)
                if volume is not None and _is_anonymous(volume) and not self._users(name):
                    await self._remove(volume)

    def _of(self, points: Iterable[MountPoint]) -> Iterable[Volume]:
        """The volumes among these that have to be mounted."""
        for point in points:
            volume = self._volumes.get(point.name or "") if point.type == "volume" else None
            if volume is not None and volume.options:
                yield volume

    def _users(self, name: str) -> Sequence[str]:
        """The ids of the containers that refer to a volume."""
        users = [key for key, names in self._claims.items() if name in names]
        for container in self._records.all():
            if any(p.type == "volume" and p.name == name for p in container.mounts) and container.id not in users:
                users.append(container.id)
        return users

    def _reference_counts(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for container in self._records.all():
            counts.update({point.name for point in container.mounts if point.type == "volume" and point.name})
        return counts


def _is_anonymous(volume: Volume) -> bool:
    return _ANONYMOUS in (volume.labels or {})


def _make(root: Path, folder: Path) -> None:
    try:
        root.mkdir(mode=0o701, parents=True, exist_ok=True)
        folder.parent.mkdir(mode=0o701, exist_ok=True)
        folder.mkdir(mode=0o755, exist_ok=True)
        folder.chmod(0o755)
    except OSError as error:
        raise refusal(f"the folder of volume {folder.parent.name} cannot be made", error, root.parent) from error


def _delete(folder: Path) -> None:
    """Remove a volume's folder. What is mounted on it belongs to somebody else: that goes first, and untouched."""
    for _ in range(16):
        if not is_mounted(folder):
            break
        unmount(folder)
    else:
        raise Conflict(f"{folder} is mounted too often to be unmounted")
    shutil.rmtree(folder.parent, ignore_errors=True)


def _check_source(wanted: Wanted) -> None:
    try:
        if wanted.create_source:
            if not os.path.lexists(wanted.source):
                os.makedirs(wanted.source, mode=0o755, exist_ok=True)
        elif not os.path.exists(wanted.source):
            why = f"bind source path does not exist: {wanted.source}"
            raise InvalidArgument(f'invalid mount config for type "bind": {why}')
    except OSError as error:
        raise InvalidArgument(
            f"error while creating mount source path '{wanted.source}': {error.strerror or error}"
        ) from error


def _folder_in(make: Callable[[], int], place: str) -> int | None:
    """A descriptor of the folder ``place`` in a new view; None when there is no such folder."""
    root = make()
    try:
        return open_in(root, place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    finally:
        os.close(root)


def _size(folder: Path) -> int:
    """The bytes that the files below take, each once however many names it has."""
    total, seen = 0, set[tuple[int, int]]()
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(os.path.join(path, name))
            except FileNotFoundError:
                continue
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_size
    return total
