"""Second copies of running containers' records, beside their logs: for the day on which the database is lost."""

import logging
import os
from pathlib import Path

import msgspec

from shoal.objects.container import Container

_FILE = "record.json"
_log = logging.getLogger(__name__)


def keep(root: Path, container: Container) -> None:
    """Write the copy of a container that runs, or runs with other networks or another name; a thread's work.

    It is not synced, since no container outlives the machine, and one that cannot be written is not missed today.
    """
    folder = root / container.id
    fresh = folder / f"{_FILE}.new"
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(container))
        os.replace(fresh, folder / _FILE)
    except OSError as error:
        _log.warning("the record of %s has no second copy: %s", container.name, error)


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
