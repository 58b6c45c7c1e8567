"""``/containers/{id}/archive``: files in and out of a container (``docker cp``)."""

import base64
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from shoal.api.backends_containers import ContainerBackend
from shoal.api.requests import query_bool, query_text
from shoal.api.streams import TAR
from shoal.errors import InvalidArgument, ShoalError
from shoal.objects.base import encode
from shoal.objects.results import PathStat

_STAT_HEADER: Final = "X-Docker-Container-Path-Stat"


def archive_routes(backend: ContainerBackend) -> list[web.RouteDef]:
    """Look at a path, fetch it, unpack into it."""

    async def stat(request: web.Request) -> web.Response:
        path = _path(request)
        return web.Response(headers=_stat_header(await backend.archive_stat(request.match_info["id"], path)))

    async def get(request: web.Request) -> web.StreamResponse:
        path = _path(request)
        found, pieces = await backend.archive_get(request.match_info["id"], path)
        response = web.StreamResponse(headers={"Content-Type": TAR} | _stat_header(found))
        await response.prepare(request)
        try:
            async for piece in pieces:
                await response.write(piece)
        except ShoalError:
            # The status is out: breaking off is the only way to say that the archive is not whole.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def put(request: web.Request) -> web.Response:
        path = _path(request)
        await backend.archive_put(
            request.match_info["id"],
            path,
            body_of(request),
            no_overwrite_dir_non_dir=query_bool(request, "noOverwriteDirNonDir"),
            copy_uid_gid=query_bool(request, "copyUIDGID"),
        )
        return web.Response()

    path = "/containers/{id}/archive"
    return [web.head(path, stat), web.get(path, get, allow_head=False), web.put(path, put)]


async def body_of(request: web.Request) -> AsyncIterator[bytes]:
    """The request's body as it comes in, of any length."""
    async for piece in request.content.iter_any():
        yield piece


def _path(request: web.Request) -> str:
    path = query_text(request, "path")
    if not path:
        raise InvalidArgument("bad parameter: path cannot be empty")
    return path


def _stat_header(stat: PathStat) -> dict[str, str]:
    return {_STAT_HEADER: base64.b64encode(encode(stat)).decode()}
