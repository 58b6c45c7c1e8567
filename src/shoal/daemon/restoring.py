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
from shoal.manager.cluster import in_a_new_epoch
from shoal.manager.found import first_node, issue
from shoal.pki import files
from shoal.store.backends.sqlite import STATE, rows_of


def make(folder: Path, member: Membership, backup: Backup, now: datetime) -> None:
    """A manager's folder as it is before it appears, with this node in the place of the one that wrote the backup."""
    fresh = membership.making(folder)
    files.save(fresh / membership.CERTIFICATES, issue(backup.cluster, backup.node.id, now))
    there = first_node(backup.node.id, member.advertise)
    node = msgspec.structs.replace(backup.node, manager_status=there.manager_status, status=there.status)
    objects = [node if obj is backup.node else obj for obj in in_a_new_epoch(backup.objects, now)]
    file = ObjectFile.open(fresh / membership.DATABASE, what=STATE, root=folder.parent)
    try:
        file.commit([Row(*row) for row in rows_of(objects)], backup.manifest.revision)
    finally:
        file.close()
    membership.write(fresh, member)


def replace(folder: Path, backup: Backup, now: datetime) -> None:
    """The backup's state in the place of what is in a manager's own folder."""
    database = folder / membership.DATABASE
    # Versions go up, also for those who have seen what came after the backup.
    number = max(read_mark(database), backup.manifest.revision) + 1
    database.touch(mode=0o600)
    rows = rows_of(in_a_new_epoch(backup.objects, now))
    salvage.replace(database, rows, number, what=STATE, root=folder.parent, stamp=salvage.stamp(now))
    files.save(folder / membership.CERTIFICATES, issue(backup.cluster, backup.node.id, now))
