"""``/nodes``: the machines of the swarm."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from shoal.api.answers import node_answer
from shoal.api.backends import SwarmBackend
from shoal.api.filters import Filters, filters_of
from shoal.api.requests import json_body, json_response, query_bool, required_version
from shoal.errors import InvalidArgument
from shoal.objects.node import Node, NodeSpec

_FILTERS: Final = ("id", "label", "name", "role", "membership", "node.label")


def routes(backend: SwarmBackend) -> Sequence[web.RouteDef]:
    """The routes of nodes."""

    async def list_(request: web.Request) -> web.Response:
        nodes = backend.control().nodes
        filters = filters_of(request, _FILTERS)
        _check(filters)
        return json_response([node_answer(node) for node in nodes.list() if _fits(filters, node)])

    async def inspect(request: web.Request) -> web.Response:
        return json_response(node_answer(backend.control().nodes.get(request.match_info["id"])))

    async def update(request: web.Request) -> web.Response:
        spec = await json_body(request, NodeSpec)
        version = required_version(request, "node")
        await backend.control().nodes.update(request.match_info["id"], spec, version)
        return web.Response()

    async def remove(request: web.Request) -> web.Response:
        await backend.control().nodes.remove(request.match_info["id"], force=query_bool(request, "force"))
        return web.Response()

    return [
        web.get("/nodes", list_),
        web.get("/nodes/{id}", inspect),
        web.post("/nodes/{id}/update", update),
        web.delete("/nodes/{id}", remove),
    ]


def _check(filters: Filters) -> None:
    for key, known in (("role", ("worker", "manager")), ("membership", ("accepted", "pending"))):
        for value in filters.get(key):
            if value.lower() not in known:
                raise InvalidArgument(f"Invalid {key} filter: '{value}'")


def _fits(filters: Filters, node: Node) -> bool:
    engine = node.description.engine if node.description else None
    return (
        filters.allows_prefix("id", node.id)
        and filters.allows_prefix("name", node.hostname)
        and filters.allows("role", node.spec.role)
        # A node that is in the store has been let in: nobody waits for being accepted.
        and filters.allows("membership", "accepted")
        and filters.allows_labels(engine.labels if engine else None, empty_is_any=True)
        and filters.allows_labels(node.spec.labels, "node.label", empty_is_any=True)
    )
