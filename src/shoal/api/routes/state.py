"""The swarm's state as one file, out and in: what Docker has no word for."""

from collections.abc import Sequence

from aiohttp import web

from shoal.api.backends import StateBackend
from shoal.api.requests import json_response, query_bool, query_text
from shoal.api.routes.archive import body_of
from shoal.api.streams import TAR, stream_bytes


def routes(backend: StateBackend) -> Sequence[web.RouteDef]:
    """``GET /shoal/v1/state``: a backup as a tar archive; ``POST``: found that swarm again."""

    async def export(request: web.Request) -> web.StreamResponse:
        return await stream_bytes(request, backend.export_state(), content_type=TAR, at_once=False)

    async def import_(request: web.Request) -> web.Response:
        answer = await backend.import_state(
            body_of(request),
            force=query_bool(request, "force"),
            listen=query_text(request, "listen"),
            advertise=query_text(request, "advertise"),
        )
        return json_response(answer)

    return [web.get("/shoal/v1/state", export), web.post("/shoal/v1/state", import_)]
