"""What Docker has no word for: the node's network as it is, read back from the kernel."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiohttp import web

from shoal.api.requests import json_response


def routes(read: Callable[[], Awaitable[msgspec.Struct]]) -> Sequence[web.RouteDef]:
    """``GET /shoal/v1/topology``: a picture as text, and the same as data."""

    async def topology(request: web.Request) -> web.Response:
        return json_response(await read())

    return [web.get("/shoal/v1/topology", topology)]
