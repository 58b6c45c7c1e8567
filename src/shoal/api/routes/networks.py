"""``/networks``: this node's own and the swarm's."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from shoal.api.backends import NetworkBackend
from shoal.api.filters import Filters, filters_of, invalid_value
from shoal.api.requests import json_body, json_response, no_content, query_bool, query_text
from shoal.api.versions import version_of
from shoal.wire.docker.networks import (
    NetworkAnswer,
    NetworkConnect,
    NetworkCreate,
    NetworkDisconnect,
    NetworksPruned,
)

_FILTERS: Final = ("dangling", "driver", "id", "label", "name", "scope", "type")
_PRUNE_FILTERS: Final = ("label", "label!", "until")
_BUILT_IN: Final = ("bridge", "host", "none")


def routes(backend: NetworkBackend) -> Sequence[web.RouteDef]:
    """The routes of networks."""

    async def list_(request: web.Request) -> web.Response:
        filters = filters_of(request, _FILTERS)
        in_use = await backend.in_use() if filters.get("dangling") else ()
        kind = _kind(filters)
        found = [n for n in await backend.list() if _fits(filters, n) and _is_of(kind, n)]
        if filters.get("dangling"):
            dangling = filters.boolean("dangling")
            found = [n for n in found if dangling == (n.id not in in_use and n.name not in _BUILT_IN)]
        if version_of(request) < (1, 28):
            found = [await backend.get(n.id, scope=n.scope, verbose=False) for n in found]
        return json_response(found)

    async def create(request: web.Request) -> web.Response:
        return json_response(await backend.create(await json_body(request, NetworkCreate)), status=201)

    async def inspect(request: web.Request) -> web.Response:
        scope, verbose = query_text(request, "scope"), query_bool(request, "verbose")
        return json_response(await backend.get(request.match_info["id"], scope=scope, verbose=verbose))

    async def remove(request: web.Request) -> web.Response:
        await backend.remove(request.match_info["id"])
        return no_content()

    async def connect(request: web.Request) -> web.Response:
        asked = await json_body(request, NetworkConnect)
        await backend.connect(request.match_info["id"], asked.container, asked.endpoint_config)
        return web.Response()

    async def disconnect(request: web.Request) -> web.Response:
        asked = await json_body(request, NetworkDisconnect)
        await backend.disconnect(request.match_info["id"], asked.container, force=asked.force)
        return web.Response()

    async def prune(request: web.Request) -> web.Response:
        gone = await backend.prune(filters_of(request, _PRUNE_FILTERS).values())
        return json_response(NetworksPruned(networks_deleted=list(gone) or None))

    return [
        web.get("/networks", list_),
        web.get("/networks/", list_),
        web.post("/networks/create", create),
        web.post("/networks/prune", prune),
        web.get("/networks/{id:.+}", inspect),
        web.delete("/networks/{id:.+}", remove),
        web.post("/networks/{id:.+}/connect", connect),
        web.post("/networks/{id:.+}/disconnect", disconnect),
    ]


def _fits(filters: Filters, network: NetworkAnswer) -> bool:
    return (
        filters.allows("driver", network.driver)
        and filters.allows_part("id", network.id)
        and filters.allows_part("name", network.name)
        and filters.allows("scope", network.scope)
        and filters.allows_labels(network.labels)
    )


def _kind(filters: Filters) -> str | None:
    """``custom``, ``builtin``, or None for both."""
    kinds = filters.get("type")
    for kind in kinds:
        if kind not in ("custom", "builtin"):
            raise invalid_value("type", kinds)
    return kinds[0] if len(set(kinds)) == 1 else None


def _is_of(kind: str | None, network: NetworkAnswer) -> bool:
    return kind is None or (kind == "builtin") == (network.name in _BUILT_IN)
