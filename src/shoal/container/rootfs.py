"""A container's root file system as data: the mounts that make it, and a file read out of its layers unmounted."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec


class RootMount(msgspec.Struct, frozen=True):
    """A mount that makes a snapshot visible: mount(2)'s type, source and options (``lowerdir=…`` among them)."""

    type: str
    source: str
    options: tuple[str, ...] = ()


class SnapshotUsage(msgspec.Struct, frozen=True):
    """What a snapshot itself takes, its parents left out; bytes."""

    size: int
    inodes: int


def layers(mounts: Sequence[RootMount]) -> tuple[Path, ...]:
    """The folders that ``mounts`` (one bind mount or one overlay) lays over one another, the uppermost first."""
    (mount,) = mounts
    if mount.type != "overlay":
        return (Path(mount.source),)
    options = dict(option.partition("=")[::2] for option in mount.options)
    upper = [options["upperdir"]] if "upperdir" in options else []
    return tuple(Path(path) for path in (*upper, *options.get("lowerdir", "").split(":")) if path)


def read_text(mounts: Sequence[RootMount], path: str, *, limit: int = 1 << 20) -> str:
    """The text of a plain file in the root file system, such as ``etc/passwd``, for a thread.

    What is not there, not a plain file (overlayfs's whiteouts among them), reached through a symbolic link, or larger
    than ``limit`` bytes is the empty text: nothing in an image may lead us to a file of the host.
    """
    for layer in layers(mounts):
        found = _opened(layer, path)
        if found is None:
            continue
        with os.fdopen(found, "rb") as file:
            plain = stat.S_ISREG(os.fstat(found).st_mode)
            data = file.read(limit + 1) if plain else b""
        return data.decode(errors="replace") if len(data) <= limit else ""
    return ""


def _opened(layer: Path, path: str) -> int | None:
    """A descriptor of the file in one layer; None when the layer says nothing about it."""
    folder = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *parents, name = Path(path).parts
        for part in parents:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        # O_NONBLOCK: a FIFO of that name must not hold us up.
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:  # a symbolic link, a whiteout's device, a file where a folder should be: seen, and no text
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(folder)
