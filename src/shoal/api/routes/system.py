"""The engine as a whole: is it there, what is it, what has it, what does it do."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.api.answers import cluster_info
from shoal.api.backends import SwarmBackend, SystemBackend
from shoal.api.eventstream import live_events
from shoal.api.filters import filters_of
from shoal.api.moments import query_moment
from shoal.api.requests import json_body, json_response, registry_auth
from shoal.api.streams import stream_json
from shoal.api.versions import disk_usage_answer, info_answer
from shoal.errors import InvalidArgument
from shoal.wire.docker.auth import AuthConfig
from shoal.wire.docker.swarm import SwarmInfo

_KINDS: Final = ("container", "image", "volume", "build-cache")
_PING_HEADERS: Final = {"Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache"}


def routes(backend: SystemBackend, swarm: SwarmBackend, clock: Clock) -> Sequence[web.RouteDef]:
    """The routes that belong to no noun."""

    async def ping(request: web.Request) -> web.Response:
        headers = {**_PING_HEADERS, "Swarm": _swarm_word(swarm.info())}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": "0"}, content_type="text/plain", charset="utf-8")
        return web.Response(text="OK", headers=headers)

    async def version(request: web.Request) -> web.Response:
        return json_response(backend.version())

    async def info(request: web.Request) -> web.Response:
        answer = replace(await backend.info(), swarm=_swarm_info(swarm))
        return json_response(info_answer(request, answer))

    async def events(request: web.Request) -> web.StreamResponse:
        since, until = query_moment(request, "since"), query_moment(request, "until")
        if since is not None and until is not None and since > until:
            raise InvalidArgument("`since` time cannot be after `until` time")
        filters = filters_of(request, None)
        # Listening begins before the header goes out: a client may count on that.
        with backend.events.subscribe() as live:
            items = live_events(backend.events, live, filters, since=since, until=until, clock=clock)
            return await stream_json(request, items, endless=True)

    async def disk_usage(request: web.Request) -> web.Response:
        kinds = request.query.getall("type", [])
        for kind in kinds:
            if kind not in _KINDS:
                raise InvalidArgument(f"unknown object type: {kind}")
        return json_response(disk_usage_answer(request, await backend.disk_usage(kinds or _KINDS)))

    async def authenticate(request: web.Request) -> web.Response:
        return json_response(await backend.authenticate(await json_body(request, AuthConfig)))

    async def distribution(request: web.Request) -> web.Response:
        return json_response(await backend.distribution(request.match_info["name"], registry_auth(request)))

    return [
        web.get("/_ping", ping),
        web.head("/_ping", ping),
        web.get("/version", version),
        web.get("/info", info),
        web.get("/events", events),
        web.get("/system/df", disk_usage),
        web.post("/auth", authenticate),
        web.get("/distribution/{name:.+}/json", distribution),
    ]


def _swarm_word(info: SwarmInfo) -> str:
    if info.local_node_state != "active":
        return info.local_node_state
    return "active/manager" if info.control_available else "active/worker"


def _swarm_info(swarm: SwarmBackend) -> SwarmInfo:
    info = swarm.info()
    if not info.control_available:
        return replace(info, nodes=UNSET, managers=UNSET, cluster=UNSET)
    controls = swarm.control()
    nodes = controls.nodes.list()
    return replace(
        info,
        nodes=len(nodes),
        managers=sum(node.manager_status is not None for node in nodes),
        cluster=cluster_info(controls.cluster.get()),
    )
