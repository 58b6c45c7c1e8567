"""``/swarm``: founding, joining, leaving, settings."""

from collections.abc import Sequence

from aiohttp import web

from shoal.api.answers import swarm_answer
from shoal.api.backends import SwarmBackend
from shoal.api.requests import json_body, json_response, query_bool, required_version
from shoal.api.versions import without_newer_init_options
from shoal.objects.cluster import ClusterSpec
from shoal.wire.docker.swarm import SwarmInit, SwarmJoin, SwarmUnlock, TokenRotation


def routes(backend: SwarmBackend) -> Sequence[web.RouteDef]:
    """The routes of the swarm itself."""

    async def inspect(request: web.Request) -> web.Response:
        return json_response(swarm_answer(backend.control().cluster.get()))

    async def init(request: web.Request) -> web.Response:
        asked = await json_body(request, SwarmInit)
        return json_response(await backend.init(without_newer_init_options(request, asked)))

    async def join(request: web.Request) -> web.Response:
        await backend.join(await json_body(request, SwarmJoin))
        return web.Response()

    async def leave(request: web.Request) -> web.Response:
        await backend.leave(force=query_bool(request, "force"))
        return web.Response()

    async def update(request: web.Request) -> web.Response:
        spec = await json_body(request, ClusterSpec)
        rotation = TokenRotation(
            worker_token=query_bool(request, "rotateWorkerToken"),
            manager_token=query_bool(request, "rotateManagerToken"),
            unlock_key=query_bool(request, "rotateManagerUnlockKey"),
        )
        await backend.update(spec, required_version(request, "swarm"), rotation)
        return web.Response()

    async def unlock_key(request: web.Request) -> web.Response:
        return json_response(SwarmUnlock(unlock_key=await backend.unlock_key()))

    async def unlock(request: web.Request) -> web.Response:
        await backend.unlock((await json_body(request, SwarmUnlock)).unlock_key)
        return web.Response()

    return [
        web.get("/swarm", inspect),
        web.post("/swarm/init", init),
        web.post("/swarm/join", join),
        web.post("/swarm/leave", leave),
        web.post("/swarm/update", update),
        web.get("/swarm/unlockkey", unlock_key),
        web.post("/swarm/unlock", unlock),
    ]
