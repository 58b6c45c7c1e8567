"""The files of a manager, made of a backup. Blocks; raises NoRoom, Internal, and InvalidArgument for a backup whose
authority cannot sign."""

from datetime import datetime
from pathlib import Path

import msgspec

from shoal.daemon import membership
from shoal.daemon.backup import Backup
from shoal.daemon.membership import Membership
from shoal.durable import salvage
from shoal.durable.objectfile import ObjectFile, Row, read_mark
from shoal.manager.cluster import as_worker, in_a_new_epoch
from shoal.manager.found import first_node, issue
from shoal.objects.node import Node
from shoal.pki import files
from shoal.store.backends.sqlite import STATE, rows_of
from shoal.store.tables import Stored


def make(folder: Path, member: Membership, backup: Backup, now: datetime) -> None:
    """A manager's folder as it is before it appears, with this node in the place of the one that wrote the backup."""
    fresh = membership.making(folder)
    files.save(fresh / membership.CERTIFICATES, issue(backup.cluster, backup.node.id, member.advertise, now))
    there = first_node(backup.node.id, member.advertise)
    node = msgspec.structs.replace(backup.node, manager_status=there.manager_status, status=there.status)
    objects = [node if obj is backup.node else obj for obj in _alone(backup, now)]
    file = ObjectFile.open(fresh / membership.DATABASE, what=STATE, root=folder.parent)
    try:
        file.commit([Row(*row) for row in rows_of(objects)], backup.manifest.revision)
    finally:
        file.close()
    membership.write(fresh, member)


def replace(folder: Path, member: Membership, backup: Backup, now: datetime, newest: int) -> None:
    """The backup's state in the place of what is in a manager's own folder; ``member`` is what it is with that, and
    ``newest`` the last revision that anybody can have seen. What there is elsewhere is not touched."""
    database = folder / membership.DATABASE
    # Versions go up, also for those who have seen what came after the backup.
    number = max(read_mark(database), backup.manifest.revision, newest) + 1
    is_new = not database.exists()
    database.touch(mode=0o600)
    rows = rows_of(_alone(backup, now))
    aside = salvage.replace(database, rows, number, what=STATE, root=folder.parent, stamp=salvage.stamp(now))
    if is_new:  # the state was elsewhere
        aside.unlink(missing_ok=True)
    files.save(folder / membership.CERTIFICATES, issue(backup.cluster, backup.node.id, member.advertise, now))
    membership.write(folder, member)


def _alone(backup: Backup, now: datetime) -> list[Stored]:
    """The backup's objects as a new epoch's, with its manager as the only one: the others have another state."""
    return [
        obj if obj is backup.node or not isinstance(obj, Node) else as_worker(obj)
        for obj in in_a_new_epoch(backup.objects, now)
    ]
