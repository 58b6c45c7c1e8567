"""Whom a container's process runs as: ``--user`` and the rootfs's own passwd and group files, to numbers. Pure.

The forms are the image specification's (config.md, ``User``): ``user``, ``uid``, ``user:group``, ``uid:gid``, mixed,
and nothing for root. Files are passwd(5) and group(5); lines that do not fit are passed over, as libc does.
"""

from collections.abc import Iterable, Iterator

import msgspec

from shoal.container import oci
from shoal.errors import InvalidArgument

MAX_ID = 2**31 - 1


class ResolvedUser(msgspec.Struct, frozen=True):
    """Numbers for the kernel, and the home directory for ``HOME``."""

    user: oci.User
    home: str = "/"


class _Account(msgspec.Struct, frozen=True):
    name: str
    uid: int
    gid: int
    home: str


class _Group(msgspec.Struct, frozen=True):
    name: str
    gid: int
    members: frozenset[str]


def resolve(wanted: str, *, passwd: str, group: str, add: Iterable[str] = ()) -> ResolvedUser:
    """``wanted`` as numbers; ``add`` are further groups, by name or number (``--group-add``).

    Without a group in ``wanted``, the account's own group and those that list it. Raises InvalidArgument for a name
    that the files do not have, or a number out of range; a number need not be in them.
    """
    user_part, _, group_part = wanted.partition(":")
    groups = list(_groups(group))
    account = _account(user_part or "0", list(_accounts(passwd)))
    further: list[int] = []
    if group_part:
        gid = _gid(group_part, groups)
    else:
        gid = account.gid
        further = [entry.gid for entry in groups if account.name and account.name in entry.members]
    further += [_gid(name, groups) for name in add]
    user = oci.User(uid=account.uid, gid=gid, additional_gids=tuple(dict.fromkeys([gid, *further])))
    return ResolvedUser(user, account.home or "/")


def _account(wanted: str, accounts: list[_Account]) -> _Account:
    for account in accounts:  # a name may consist of digits, and then goes first
        if account.name == wanted:
            return account
    if (uid := _number(wanted)) is None:
        raise InvalidArgument(f"unable to find user {wanted}: no matching entries in passwd file")
    return next((account for account in accounts if account.uid == uid), _Account("", uid, 0, "/"))


def _gid(wanted: str, groups: list[_Group]) -> int:
    for entry in groups:
        if entry.name == wanted:
            return entry.gid
    if (gid := _number(wanted)) is None:
        raise InvalidArgument(f"unable to find group {wanted}: no matching entries in group file")
    return gid


def _number(text: str) -> int | None:
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        return None
    number = int(text) if len(text) <= len(str(MAX_ID)) else -1
    if not 0 <= number <= MAX_ID:
        raise InvalidArgument(f"uids and gids must be in range 0-{MAX_ID}")
    return number


def _accounts(passwd: str) -> Iterator[_Account]:
    for fields in _lines(passwd):
        if len(fields) >= 4 and _is_id(fields[2]) and _is_id(fields[3]):
            yield _Account(fields[0], int(fields[2]), int(fields[3]), fields[5] if len(fields) > 5 else "")


def _groups(group: str) -> Iterator[_Group]:
    for fields in _lines(group):
        if len(fields) >= 3 and _is_id(fields[2]):
            members = fields[3].split(",") if len(fields) > 3 else []
            yield _Group(fields[0], int(fields[2]), frozenset(filter(None, members)))


def _is_id(text: str) -> bool:
    return text.isdecimal() and len(text) <= len(str(MAX_ID))


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip().split(":")
