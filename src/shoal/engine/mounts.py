"""What is mounted into a container: ``-v``, ``--mount``, ``--tmpfs`` and the image's volumes, resolved."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from shoal.container import oci
from shoal.errors import InvalidArgument
from shoal.objects.container import Container, ContainerConfig, HostConfig, MountPoint
from shoal.objects.service import Mount

_MODES = {"ro", "rw", "z", "Z", "nocopy", "rprivate", "private", "rshared", "shared", "rslave", "slave", "cached",
          "delegated", "consistent"}  # fmt: skip
_PROPAGATIONS = {"rprivate", "private", "rshared", "shared", "rslave", "slave"}


@dataclass(frozen=True)
class Wanted:
    """A mount as asked for; a volume without a name is an anonymous one."""

    type: str
    source: str
    destination: str
    read_only: bool = False
    propagation: str = ""
    mode: str = ""
    copy: bool = True
    create_source: bool = False
    options: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    driver: str = ""
    driver_options: dict[str, str] = field(default_factory=dict)


def wanted(config: ContainerConfig, host: HostConfig) -> list[Wanted]:
    """All mounts, each place once: the user's before the image's. Raises InvalidArgument in Docker's words."""
    found: dict[str, Wanted] = {}
    for mount in [*map(_bind, host.binds or []), *map(_mount, host.mounts or [])]:
        if mount.destination in found:
            raise InvalidArgument(f"Duplicate mount point: {mount.destination}")
        found[mount.destination] = mount
    for path, options in (host.tmpfs or {}).items():
        found[_clean(path)] = Wanted("tmpfs", "", _clean(path), options=tuple(o for o in options.split(",") if o))
    for path in config.volumes or {}:
        found.setdefault(_clean(path), Wanted("volume", "", _clean(path)))
    return list(found.values())


def _clean(path: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(f"invalid mount path: '{path}' mount path must be absolute")
    cleaned = "/" + "/".join(part for part in PurePosixPath(path).parts[1:] if part != ".")
    if cleaned == "/":
        raise InvalidArgument("invalid specification: destination can't be '/'")
    return cleaned


def _bind(text: str) -> Wanted:
    parts = text.split(":")
    if len(parts) == 1:
        return Wanted("volume", "", _clean(parts[0]))
    if len(parts) > 3 or not parts[0] or not parts[1]:
        raise InvalidArgument(f"invalid volume specification: '{text}'")
    modes = [mode for mode in (parts[2].split(",") if len(parts) == 3 else []) if mode]
    for mode in modes:
        if mode not in _MODES:
            raise InvalidArgument(f"invalid mode: {parts[2]}")
    source = parts[0]
    return Wanted(
        type="bind" if source.startswith("/") else "volume",
        source=source,
        destination=_clean(parts[1]),
        read_only="ro" in modes,
        propagation=next((mode for mode in modes if mode in _PROPAGATIONS), ""),
        mode=",".join(modes),
        copy="nocopy" not in modes,
        create_source=True,
    )


def _mount(mount: Mount) -> Wanted:
    kind = mount.type or "volume"
    if kind not in ("bind", "volume", "tmpfs"):
        raise InvalidArgument(f'invalid mount config for type "{kind}": mount type unknown: "{kind}"')
    if not mount.target:
        raise InvalidArgument(f'invalid mount config for type "{kind}": field Target must not be empty')
    if kind == "bind" and not (mount.source or "").startswith("/"):
        why = f"invalid mount path: '{mount.source or ''}' mount path must be absolute"
        raise InvalidArgument(f'invalid mount config for type "bind": {why}')
    tmpfs, volume, bind = mount.tmpfs_options, mount.volume_options, mount.bind_options
    options: list[str] = []
    if tmpfs is not None:
        options += [f"size={tmpfs.size_bytes}"] if tmpfs.size_bytes else []
        options += [f"mode={tmpfs.mode:o}"] if tmpfs.mode else []
    driver = volume.driver_config if volume else None
    return Wanted(
        type=kind,
        source=mount.source or "",
        destination=_clean(mount.target),
        read_only=bool(mount.read_only),
        propagation=(bind.propagation if bind else None) or "",
        copy=not (volume and volume.no_copy),
        create_source=bool(bind and bind.create_mountpoint),
        options=tuple(options),
        labels=(volume.labels if volume else None) or {},
        driver=(driver.name if driver else None) or "",
        driver_options=(driver.options if driver else None) or {},
    )


def of_others(host: HostConfig, find: Callable[[str], Container]) -> list[Wanted]:
    """What ``--volumes-from`` brings: the mounts of other containers, at the same places. Raises NotFound,
    InvalidArgument."""
    found: list[Wanted] = []
    for entry in host.volumes_from or ():
        ref, _, mode = entry.partition(":")
        if mode not in ("", "ro", "rw", "z", "Z"):
            raise InvalidArgument(f"invalid mode for volumes-from: {mode}")
        for point in find(ref).mounts:
            found.append(
                Wanted(
                    type=point.type,
                    source=point.name or point.source,
                    destination=point.destination,
                    read_only=mode == "ro" or not point.rw,
                    propagation=point.propagation,
                    copy=False,
                )
            )
    return found


def oci_mounts(points: Iterable[MountPoint], tmpfs: Iterable[Wanted]) -> list[oci.Mount]:
    """The mounts as runc makes them, shallower places first."""
    mounts = [
        oci.Mount(
            destination=point.destination,
            type="bind",
            source=point.source,
            options=("rbind", "rw" if point.rw else "ro", point.propagation or "rprivate"),
        )
        for point in points
        if point.type != "tmpfs"
    ]
    for mount in tmpfs:
        options = ("noexec", "nosuid", "nodev", *mount.options, *(("ro",) if mount.read_only else ()))
        mounts.append(oci.Mount(destination=mount.destination, type="tmpfs", source="tmpfs", options=options))
    return sorted(mounts, key=lambda mount: mount.destination.count("/"))
