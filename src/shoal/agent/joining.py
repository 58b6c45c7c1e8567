"""A node's side of becoming one, and of staying one: fetching the root, asking with a token, renewing."""

import asyncio
import binascii
import logging
import os
import ssl
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import msgspec

from shoal.errors import Forbidden, InvalidArgument, Unavailable
from shoal.objects.base import decode, encode, parse_time
from shoal.pki import contexts
from shoal.pki.authority import SHORTEST_VALIDITY, check_voucher, new_key, request
from shoal.pki.files import NodeFiles
from shoal.pki.identity import MANAGER_NAME
from shoal.pki.tokens import parse_token
from shoal.wire.admission import (
    JOIN,
    QUORUM,
    RENEW,
    ROOT,
    Admitted,
    JoinRequest,
    Quorum,
    Refusal,
    RenewalRequest,
    Renewed,
    TrustRoot,
    error_of,
)

_log = logging.getLogger(__name__)
T = TypeVar("T")
# For one answer of one manager, in seconds.
_ANSWER = 10.0
# A difference of clocks that is worth a line in the log; and one that is not less than the shortest validity.
_SKEW, _MOST_SKEW = timedelta(seconds=30), SHORTEST_VALIDITY


async def join(managers: Sequence[str], asked: JoinRequest, now: datetime) -> tuple[Admitted, str, NodeFiles]:
    """Ask the managers (``address:port``), one after the other, to be let in; the new node's id, the manager that let
    it in, and the node's files. ``asked`` has no request for a certificate yet. Raises InvalidArgument, Forbidden,
    Conflict with a manager's reason, Unavailable when none answers."""
    token = parse_token(asked.token)
    key = await asyncio.to_thread(new_key)
    asked = msgspec.structs.replace(asked, csr=request(key).decode())

    async def ask(address: str) -> tuple[Admitted, str, NodeFiles]:
        told = decode(await _call(address, contexts.untrusting_client(), "GET", ROOT), TrustRoot)
        token.verify_root(told.certificate.encode())
        _check_clock(told, address, now)
        roots = _trusted(told)
        admitted = decode(await _call(address, contexts.joining_client(roots), "POST", JOIN, encode(asked)), Admitted)
        roots = admitted.bundle.encode() or roots
        held = NodeFiles(root=roots, certificate=admitted.certificate.encode(), key=key)
        return admitted, address, held

    return await _first(managers, ask)


async def renew(managers: Sequence[str], folder: Path, advertise: str) -> NodeFiles:
    """A new key and a new certificate, of the role that it is to have, for the node whose files are in ``folder`` and
    that is reached at ``advertise``. Raises Forbidden where the swarm does not know it any more, Unavailable when no
    manager answers."""
    key = await asyncio.to_thread(new_key)
    body = encode(RenewalRequest(csr=request(key).decode(), advertise=advertise))
    tls = await asyncio.to_thread(contexts.swarm_client, folder)

    async def ask(address: str) -> NodeFiles:
        renewed = decode(await _call(address, tls, "POST", RENEW, body), Renewed)
        return NodeFiles(root=renewed.root.encode(), certificate=renewed.certificate.encode(), key=key)

    return await _first(managers, ask)


async def quorum(managers: Sequence[str], folder: Path) -> dict[str, str]:
    """The names of the members of the swarm's etcd, by peer URL, for the manager whose files are in ``folder``. Raises
    as :func:`renew`."""
    tls = await asyncio.to_thread(contexts.swarm_client, folder)

    async def ask(address: str) -> dict[str, str]:
        return decode(await _call(address, tls, "GET", QUORUM), Quorum).members

    return await _first(managers, ask)


async def _first(managers: Sequence[str], ask: Callable[[str], Awaitable[T]]) -> T:
    """What the first manager that answers says. Raises what it refuses with, Unavailable when none answers."""
    tried: list[str] = []
    for address in managers:
        try:
            return await ask(address)
        except Unavailable as error:
            tried.append(f"{address}: {error}")
    raise Unavailable(
        f"no manager of the swarm answers ({'; '.join(tried)}): see that the address is a manager's, and that this "
        "machine may reach its port"
    )


def _trusted(told: TrustRoot) -> bytes:
    """The roots (PEM) that are trusted where the first of them, which was checked, is. Raises Forbidden for others."""
    root, bundle = told.certificate.encode(), told.bundle.encode()
    if not bundle:
        return root
    try:
        check_voucher(b64decode(told.voucher), bundle, root)
    except binascii.Error as error:
        raise Forbidden(f"the manager's roots cannot be trusted: {error}") from error
    return bundle


def _check_clock(told: TrustRoot, address: str, now: datetime) -> None:
    """Raise Forbidden where the clocks differ so much that no certificate of this swarm holds here."""
    theirs = parse_time(told.now)
    if abs(now - theirs) > _MOST_SKEW:
        raise Forbidden(
            f"the clocks differ too much for certificates to hold: it is {now:%Y-%m-%d %H:%M:%S} here and "
            f"{theirs:%Y-%m-%d %H:%M:%S} at the manager {address} (UTC): set this machine's clock, and join again"
        )
    if abs(now - theirs) > _SKEW:
        _log.warning("this machine's clock and that of the manager %s differ by %s", address, abs(now - theirs))


async def _call(address: str, tls: ssl.SSLContext, method: str, path: str, body: bytes | None = None) -> bytes:
    """A manager's answer. Raises the error that it is, and Unavailable where there is none."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER)
    options: dict[str, Any] = {"server_hostname": MANAGER_NAME} if tls.check_hostname else {}
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), timeout=timeout) as client:
            async with client.request(method, f"https://{address}{path}", data=body, **options) as answer:
                data = await answer.read()
                if answer.status == 200:
                    return data
                raise error_of(answer.status, _message(data))
    except TimeoutError as error:
        raise Unavailable(f"no answer within {_ANSWER:g} s") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unavailable(_words(error)) from error


def _message(data: bytes) -> str:
    try:
        return decode(data, Refusal).message
    except InvalidArgument:
        return data.decode(errors="replace")[:200]


def _words(error: Exception) -> str:
    cause: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno).lower()
    return str(cause) or type(cause).__name__
