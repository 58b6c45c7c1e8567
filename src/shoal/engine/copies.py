"""Second copies of what a running container needs, in files of their own: for the day on which the database is lost.

Of each container that runs its record, beside its log; of the node's own networks all, in one file.
"""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from shoal.objects.container import Container
from shoal.objects.local_network import LocalNetwork

_FILE, _NETWORKS = "record.json", "networks.json"
_log = logging.getLogger(__name__)


def keep(root: Path, container: Container) -> None:
    """Write the copy of a container that runs, or runs with other networks or another name; a thread's work.

    It is not synced, since no container outlives the machine, and one that cannot be written is not missed today.
    """
    _write(root / container.id / _FILE, msgspec.json.encode(container))


def keep_networks(root: Path, networks: Iterable[LocalNetwork]) -> None:
    """Write the copy of all networks of this node into the folder of the containers' folders."""
    _write(root / _NETWORKS, msgspec.json.encode(list(networks)))


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
        os.replace(fresh, path)
    except OSError as error:
        _log.warning("%s is out of date: %s", path, error)


def load_networks(root: Path) -> list[LocalNetwork]:
    """The copies of the networks; none where they cannot be read."""
    try:
        return msgspec.json.decode((root / _NETWORKS).read_bytes(), type=list[LocalNetwork])
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        _log.warning("%s cannot be read: %s", root / _NETWORKS, error)
        return []


def load(root: Path) -> dict[str, Container]:
    """All copies below the folder of the containers' folders, by id; what cannot be read is left out."""
    found: dict[str, Container] = {}
    for path in root.glob(f"*/{_FILE}"):
        try:
            container = msgspec.json.decode(path.read_bytes(), type=Container)
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            _log.warning("%s cannot be read: %s", path, error)
            continue
        if container.id == path.parent.name:
            found[container.id] = container
    return found
