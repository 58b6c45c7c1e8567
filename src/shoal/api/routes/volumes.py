"""``/volumes``."""

from typing import Final

from aiohttp import web

from shoal.api.backends_containers import VolumeBackend
from shoal.api.filters import filters_of
from shoal.api.requests import json_body, json_response, no_content, query_bool
from shoal.api.versions import version_of
from shoal.objects.volume import VolumeCreateOptions
from shoal.wire.docker.volumes import VolumeList, VolumesPruned

_LIST: Final = ("dangling", "driver", "label", "name")
_PRUNE: Final = ("all", "label", "label!")
_PRUNES_ANONYMOUS: Final = (1, 42)
"""From this API version on, a prune leaves volumes alone that have a name, unless ``all`` are asked for."""


def routes(backend: VolumeBackend) -> list[web.RouteDef]:
    """Everything about the node's volumes."""

    async def list_(request: web.Request) -> web.Response:
        filters = filters_of(request, _LIST)
        filters.boolean("dangling")
        return json_response(VolumeList(list(await backend.list(filters.values()))))

    async def create(request: web.Request) -> web.Response:
        options = await json_body(request, VolumeCreateOptions)
        return json_response(await backend.create(options), status=201)

    async def inspect(request: web.Request) -> web.Response:
        return json_response(await backend.get(request.match_info["name"]))

    async def remove(request: web.Request) -> web.Response:
        await backend.remove(request.match_info["name"], query_bool(request, "force"))
        return no_content()

    async def prune(request: web.Request) -> web.Response:
        filters = filters_of(request, _PRUNE)
        filters.boolean("all")
        values = dict(filters.values())
        if version_of(request) < _PRUNES_ANONYMOUS:
            values["all"] = ["true"]
        result = await backend.prune(values)
        return json_response(VolumesPruned(result.deleted, result.space))

    return [
        web.get("/volumes", list_),
        web.post("/volumes/create", create),
        web.post("/volumes/prune", prune),
        web.get("/volumes/{name}", inspect),
        web.delete("/volumes/{name}", remove),
    ]
