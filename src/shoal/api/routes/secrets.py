"""``/secrets`` and ``/configs``: there are none yet, and that is what these routes say."""

from collections.abc import Sequence

from aiohttp import web

from shoal import errors
from shoal.api.backends import SwarmBackend
from shoal.api.requests import json_response


def routes(backend: SwarmBackend) -> Sequence[web.RouteDef]:
    """The routes of secrets and of configs."""
    return [*_of(backend, "secret"), *_of(backend, "config")]


def _of(backend: SwarmBackend, noun: str) -> list[web.RouteDef]:
    async def list_(request: web.Request) -> web.Response:
        backend.control()
        return json_response([])

    async def create(request: web.Request) -> web.Response:
        backend.control()
        raise errors.Unimplemented(f"{noun}s are not supported yet")

    async def missing(request: web.Request) -> web.Response:
        backend.control()
        raise errors.NotFound(f"{noun} {request.match_info['id']} not found")

    return [
        web.get(f"/{noun}s", list_),
        web.post(f"/{noun}s/create", create),
        web.get(f"/{noun}s/{{id}}", missing),
        web.delete(f"/{noun}s/{{id}}", missing),
        web.post(f"/{noun}s/{{id}}/update", missing),
    ]
