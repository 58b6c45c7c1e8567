"""``/tasks``: the tries at running the services' containers."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

from shoal.api.answers import task_answer
from shoal.api.backends import Controls, SwarmBackend
from shoal.api.filters import Filters, filters_of
from shoal.api.requests import json_response
from shoal.api.swarmlogs import stream_logs
from shoal.errors import InvalidArgument
from shoal.objects.meaning import is_dirty
from shoal.objects.service import Service
from shoal.objects.task import Task

_FILTERS: Final = ("_up-to-date", "desired-state", "id", "label", "name", "node", "runtime", "service")
_DESIRED: Final = ("running", "shutdown", "accepted")


def routes(backend: SwarmBackend) -> Sequence[web.RouteDef]:
    """The routes of tasks."""

    async def list_(request: web.Request) -> web.Response:
        controls = backend.control()
        wanted = _Wanted(controls, filters_of(request, _FILTERS))
        return json_response([task_answer(task) for task in controls.tasks.list() if wanted.fits(task)])

    async def inspect(request: web.Request) -> web.Response:
        return json_response(task_answer(backend.control().tasks.get(request.match_info["id"])))

    async def logs(request: web.Request) -> web.StreamResponse:
        task = backend.control().tasks.get(request.match_info["id"])
        return await stream_logs(request, backend, task, task.spec)

    return [
        web.get("/tasks", list_),
        web.get("/tasks/{id}", inspect),
        web.get("/tasks/{id}/logs", logs),
    ]


class _Wanted:
    """The filters of a list of tasks, with services and nodes looked up by what the user calls them."""

    def __init__(self, controls: Controls, filters: Filters) -> None:
        for state in filters.get("desired-state"):
            if state.lower() not in _DESIRED:
                raise InvalidArgument(f"Invalid desired-state filter: '{state}'")
        self._filters = filters
        self._services = {controls.services.get(text).id for text in filters.get("service")}
        self._nodes = {controls.nodes.get(text).id for text in filters.get("node")}
        self._desired = {state.lower() for state in filters.get("desired-state")}
        self._only_current = filters.boolean("_up-to-date")
        self._specs = self._current_specs(controls) if self._only_current else {}

    def _current_specs(self, controls: Controls) -> dict[str, Service]:
        return {service.id: service for service in controls.services.list()}

    def fits(self, task: Task) -> bool:
        filters = self._filters
        return (
            (not self._services or task.service_id in self._services)
            and (not self._nodes or task.node_id in self._nodes)
            and (not self._desired or task.desired_state in self._desired)
            and filters.allows_prefix("id", task.id)
            and filters.allows_prefix("name", task.full_name, task.name)
            and filters.allows_labels(task.labels, empty_is_any=True)
            and filters.allows("runtime", task.spec.runtime or "container")
            and (not self._only_current or self._is_current(task))
        )

    def _is_current(self, task: Task) -> bool:
        service = self._specs.get(task.service_id or "")
        return service is not None and not is_dirty(task, service)
