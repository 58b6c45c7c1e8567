"""The ``local`` driver's options (``type``, ``device``, ``o``) as a mount(2)."""

import asyncio
import ipaddress
import socket
from collections.abc import Mapping

from shoal.errors import Internal, InvalidArgument
from shoal.kernel.mounts import MountCall

_KNOWN = ("type", "device", "o")


def checked_options(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options that are given. Raises InvalidArgument, in Docker's words, for what is unknown or missing."""
    for key in options:
        if key == "size":
            raise InvalidArgument(f"create {name}: quota size requested but no quota support")
        if key not in _KNOWN:
            raise InvalidArgument(f'create {name}: invalid option: "{key}"')
    given = dict(options)
    if not given:
        return given
    for key in ("device", "type"):
        if not given.get(key):
            raise InvalidArgument(f'create {name}: missing required option: "{key}"')
    return given


async def mount_call(options: Mapping[str, str]) -> MountCall:
    """What to mount. The kernel wants NFS servers as addresses: names are looked up. Raises Internal."""
    words = [word for word in options.get("o", "").split(",") if word]
    if options["type"].startswith(("nfs", "cifs")):
        words = [await _with_address(word) for word in words]
    return MountCall(options["type"], options["device"], tuple(words))


async def _with_address(word: str) -> str:
    key, _, host = word.partition("=")
    if key != "addr":
        return word
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return word
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Internal(f"error resolving passed in network volume address: {host}: {error}") from error
    return f"addr={found[0][4][0]}"
