"""``/services``: what the swarm is to run."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from shoal.api.answers import service_answer
from shoal.api.backends import SwarmBackend
from shoal.api.filters import Filters, filters_of
from shoal.api.requests import json_body, json_response, query_bool, query_text, required_version
from shoal.api.swarmlogs import stream_logs
from shoal.api.versions import without_newer_service_options
from shoal.errors import InvalidArgument
from shoal.objects.service import Service, ServiceMode, ServiceSpec
from shoal.wire.docker.services import ServiceCreated, ServiceUpdated

_FILTERS: Final = ("id", "label", "mode", "name", "runtime")


def routes(backend: SwarmBackend) -> Sequence[web.RouteDef]:
    """The routes of services."""

    async def list_(request: web.Request) -> web.Response:
        services = backend.control().services
        filters = filters_of(request, _FILTERS)
        found = services.list(status=query_bool(request, "status"))
        if filters:
            found = [service for service in found if _fits(filters, service)]
        return json_response([service_answer(service) for service in found])

    async def create(request: web.Request) -> web.Response:
        spec = without_newer_service_options(request, await json_body(request, ServiceSpec))
        service = await backend.control().services.create(spec)
        return json_response(ServiceCreated(id=service.id), status=201)

    async def inspect(request: web.Request) -> web.Response:
        service = backend.control().services.get(request.match_info["id"])
        return json_response(service_answer(service, insert_defaults=query_bool(request, "insertDefaults")))

    async def update(request: web.Request) -> web.Response:
        spec = without_newer_service_options(request, await json_body(request, ServiceSpec))
        version = required_version(request, "service")
        rollback = query_text(request, "rollback")
        if rollback not in ("", "none", "previous"):
            raise InvalidArgument(f"unrecognized rollback option {rollback}")
        services = backend.control().services
        await services.update(request.match_info["id"], spec, version, rollback=rollback == "previous")
        return json_response(ServiceUpdated())

    async def remove(request: web.Request) -> web.Response:
        await backend.control().services.remove(request.match_info["id"])
        return web.Response()

    async def logs(request: web.Request) -> web.StreamResponse:
        service = backend.control().services.get(request.match_info["id"])
        return await stream_logs(request, backend, service, service.spec.task_template)

    return [
        web.get("/services", list_),
        web.post("/services/create", create),
        web.get("/services/{id}", inspect),
        web.post("/services/{id}/update", update),
        web.delete("/services/{id}", remove),
        web.get("/services/{id}/logs", logs),
    ]


def _fits(filters: Filters, service: Service) -> bool:
    return (
        filters.allows_prefix("id", service.id)
        and filters.allows_prefix("name", service.name)
        and filters.allows_labels(service.spec.labels, empty_is_any=True)
        and filters.allows("mode", _mode_word(service.spec.mode))
        and filters.allows("runtime", service.spec.task_template.runtime or "container")
    )


def _mode_word(mode: ServiceMode | None) -> str:
    if mode is None:
        return "replicated"
    words = {"global": mode.global_, "replicated-job": mode.replicated_job, "global-job": mode.global_job}
    return next((word for word, chosen in words.items() if chosen is not None), "replicated")
