"""``/containers``: making, finding, running and removing them; their streams are in ``container_streams``."""

from typing import Final

from aiohttp import web

from shoal.aio.clock import Clock, SystemClock
from shoal.api.backends_containers import ContainerBackend
from shoal.api.container_filters import ACCEPTED, PRUNE, select
from shoal.api.filters import filters_of
from shoal.api.requests import (
    json_body,
    json_response,
    no_content,
    query_bool,
    query_int,
    query_text,
)
from shoal.api.routes import container_streams
from shoal.api.routes.archive import archive_routes
from shoal.api.versions import version_of
from shoal.errors import Conflict, InvalidArgument, NotFound
from shoal.objects.base import convert
from shoal.objects.container import ContainerConfig, HostConfig, NetworkingConfig, Pascal
from shoal.objects.update import UpdateConfig
from shoal.wire.docker.containers import (
    ContainersPruned,
    ContainerSummary,
    TopAnswer,
    UpdateAnswer,
    inspect,
    summary,
)

_SAYS_NOTHING: Final = 7


class _CreateBody(Pascal, frozen=True):
    """What ``create`` takes beside the fields of a ContainerConfig."""

    host_config: HostConfig = HostConfig()
    networking_config: NetworkingConfig = NetworkingConfig()


def routes(backend: ContainerBackend, clock: Clock = SystemClock()) -> list[web.RouteDef]:
    """Everything under ``/containers``, but for execs."""
    one = _Containers(backend, clock)
    return [
        web.get("/containers/json", one.list),
        web.post("/containers/create", one.create),
        web.post("/containers/prune", one.prune),
        web.get("/containers/{id}/json", one.inspect),
        web.get("/containers/{id}/top", one.top),
        web.get("/containers/{id}/changes", one.changes),
        web.post("/containers/{id}/start", one.start),
        web.post("/containers/{id}/stop", one.stop),
        web.post("/containers/{id}/restart", one.restart),
        web.post("/containers/{id}/kill", one.kill),
        web.post("/containers/{id}/pause", one.pause),
        web.post("/containers/{id}/unpause", one.unpause),
        web.post("/containers/{id}/rename", one.rename),
        web.post("/containers/{id}/resize", one.resize),
        web.post("/containers/{id}/update", one.update),
        web.delete("/containers/{id}", one.remove),
        *container_streams.routes(backend, clock),
        *archive_routes(backend),
    ]


def resize_of(request: web.Request) -> tuple[int, int]:
    """The height and width that a resize asks for. Raises InvalidArgument."""
    height, width = query_int(request, "h"), query_int(request, "w")
    if height is None or width is None:
        raise InvalidArgument('strconv.Atoi: parsing "": invalid syntax')
    check_size(height, width)
    return height, width


def check_size(*sides: int) -> None:
    """Raises InvalidArgument for what is no terminal's height or width: the kernel has 16 bits for each."""
    for side in sides:
        if not 0 <= side <= 0xFFFF:
            raise InvalidArgument(f"invalid size of a terminal: {side} is not between 0 and 65535")


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class _Containers:
    """The handlers: decode, one call, encode."""

    def __init__(self, backend: ContainerBackend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock

    async def list(self, request: web.Request) -> web.Response:
        chosen = select(
            self._backend.list(),
            filters_of(request, ACCEPTED),
            all_states=query_bool(request, "all"),
            limit=query_int(request, "limit") or 0,
            find=self._backend.get,
        )
        now, with_size = self._clock.now(), query_bool(request, "size")
        entries: list[ContainerSummary] = []
        for container in chosen:
            try:
                sizes = await self._backend.disk_usage(container.id) if with_size else None
            except NotFound:
                continue  # removed while the others were measured
            entries.append(summary(container, now=now, sizes=sizes))
        return json_response(entries)

    async def create(self, request: web.Request) -> web.Response:
        body = await json_body(request, dict[str, object])
        if not body:
            raise InvalidArgument("config cannot be empty in order to create a container")
        # As Go's StrSlice: a command may be a mere text.
        body = {key: _as_list(value) if key.lower() in ("cmd", "entrypoint") else value for key, value in body.items()}
        rest = convert(body, _CreateBody)
        created = await self._backend.create(
            query_text(request, "name") or None,
            convert(body, ContainerConfig),
            rest.host_config,
            rest.networking_config,
            query_text(request, "platform") or None,
        )
        return json_response(created, status=201)

    async def inspect(self, request: web.Request) -> web.Response:
        container = self._backend.get(request.match_info["id"])
        sizes = await self._backend.disk_usage(container.id) if query_bool(request, "size") else None
        execs = self._backend.execs_of(container.id)
        return json_response(inspect(container, version=version_of(request), sizes=sizes, execs=execs))

    async def top(self, request: web.Request) -> web.Response:
        titles, processes = await self._backend.top(request.match_info["id"], query_text(request, "ps_args", "-ef"))
        return json_response(TopAnswer(list(titles), [list(process) for process in processes]))

    async def changes(self, request: web.Request) -> web.Response:
        return json_response(list(await self._backend.changes(request.match_info["id"])))

    async def start(self, request: web.Request) -> web.Response:
        # Docker's own measure: a body that says something has at least this length.
        if len(await request.read()) > _SAYS_NOTHING:
            raise InvalidArgument(
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
            )
        await self._backend.start(request.match_info["id"])
        return no_content()

    async def stop(self, request: web.Request) -> web.Response:
        timeout, signal = query_int(request, "t"), query_text(request, "signal") or None
        await self._backend.stop(request.match_info["id"], timeout=timeout, signal=signal)
        return no_content()

    async def restart(self, request: web.Request) -> web.Response:
        timeout, signal = query_int(request, "t"), query_text(request, "signal") or None
        await self._backend.restart(request.match_info["id"], timeout=timeout, signal=signal)
        return no_content()

    async def kill(self, request: web.Request) -> web.Response:
        await self._backend.kill(request.match_info["id"], query_text(request, "signal") or "KILL")
        return no_content()

    async def pause(self, request: web.Request) -> web.Response:
        await self._backend.pause(request.match_info["id"])
        return no_content()

    async def unpause(self, request: web.Request) -> web.Response:
        await self._backend.unpause(request.match_info["id"])
        return no_content()

    async def rename(self, request: web.Request) -> web.Response:
        await self._backend.rename(request.match_info["id"], query_text(request, "name"))
        return no_content()

    async def resize(self, request: web.Request) -> web.Response:
        height, width = resize_of(request)
        await self._backend.resize(request.match_info["id"], height, width)
        return web.Response()

    async def update(self, request: web.Request) -> web.Response:
        body = await json_body(request, UpdateConfig)
        return json_response(UpdateAnswer(list(await self._backend.update(request.match_info["id"], body))))

    async def remove(self, request: web.Request) -> web.Response:
        if query_bool(request, "link"):
            raise Conflict("Conflict, cannot remove the default link name of the container")
        force, volumes = query_bool(request, "force"), query_bool(request, "v")
        await self._backend.remove(request.match_info["id"], force=force, volumes=volumes)
        return no_content()

    async def prune(self, request: web.Request) -> web.Response:
        result = await self._backend.prune(filters_of(request, PRUNE).values())
        return json_response(ContainersPruned(result.deleted, result.space))
