"""A WebSocket to a manager: the nodes are the ones who dial, since they may be behind NAT."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

# To reach a manager, in seconds.
_CONNECT = 3.0


@asynccontextmanager
async def dialled(
    url: str, *, tls: ssl.SSLContext, server_name: str, most: int, farewell: float | None
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The connection, for the block; messages have ``most`` bytes. At its end the manager has ``farewell`` seconds to
    hear of it: None for as long as it takes, unless the block is cancelled, when nobody is waited for who may not be
    there any more. Raises aiohttp.ClientError, OSError."""
    connector = aiohttp.TCPConnector(ssl=tls)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        async with client.ws_connect(
            url,
            max_msg_size=most,
            compress=0,
            server_hostname=server_name,
            timeout=aiohttp.ClientWSTimeout(ws_close=farewell),
        ) as socket:
            try:
                yield socket
            except asyncio.CancelledError:
                if farewell is None:
                    await connector.close(abort_ssl=True)
                raise
