"""``/exec``: processes put into running containers."""

from aiohttp import web

from shoal.api.attachments import converse, say
from shoal.api.backends_containers import ExecBackend
from shoal.api.requests import json_body, json_response, optional_body
from shoal.api.router import stream
from shoal.api.routes.container_streams import NAMES_STREAMS
from shoal.api.routes.containers import check_size, resize_of
from shoal.api.streams import RawConnection, hijack
from shoal.api.versions import version_of
from shoal.errors import InvalidArgument, ShoalError
from shoal.objects.base import convert
from shoal.objects.container import Pascal
from shoal.objects.exec import ExecConfig


class _StartBody(Pascal, frozen=True):
    detach: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None


class _Created(Pascal, frozen=True):
    id: str


def routes(backend: ExecBackend) -> list[web.RouteDef]:
    """Everything about execs."""
    one = _Execs(backend)
    return [
        web.post("/containers/{id}/exec", one.create),
        stream("POST", "/exec/{id}/start", one.start),
        web.post("/exec/{id}/resize", one.resize),
        web.get("/exec/{id}/json", one.inspect),
    ]


class _Execs:
    """The handlers."""

    def __init__(self, backend: ExecBackend) -> None:
        self._backend = backend

    async def create(self, request: web.Request) -> web.Response:
        body = await json_body(request, dict[str, object])
        body = {key: [v] if key.lower() == "cmd" and isinstance(v, str) else v for key, v in body.items()}
        config = convert(body, ExecConfig)
        if not config.cmd:
            raise InvalidArgument("No exec command specified")
        return json_response(_Created(await self._backend.exec_create(request.match_info["id"], config)), status=201)

    async def start(self, request: web.Request) -> web.StreamResponse:
        exec_id = request.match_info["id"]
        body = await optional_body(request, _StartBody) or _StartBody()
        found = await self._backend.exec_inspect(exec_id)
        height, width = body.console_size or (0, 0)
        check_size(height, width)
        size = (height, width) if height and width else None
        if body.detach:
            await self._backend.exec_start(exec_id, tty=body.tty, detach=True, console_size=size)
            return web.Response()
        tty = found.process_config.tty

        async def talk(connection: RawConnection) -> None:
            # Started after the header, as by Docker: clients read an exec's failure as its output.
            try:
                attachment = await self._backend.exec_start(exec_id, tty=body.tty, detach=False, console_size=size)
            except ShoalError as error:
                await say(connection, error, tty=tty)
                return
            if attachment is None:
                return
            try:
                await converse(connection, attachment, tty=tty, stdin=found.open_stdin)
            finally:
                await attachment.aclose()

        return await hijack(request, talk, multiplexed=not tty and version_of(request) >= NAMES_STREAMS)

    async def resize(self, request: web.Request) -> web.Response:
        height, width = resize_of(request)
        await self._backend.exec_resize(request.match_info["id"], height, width)
        return web.Response()

    async def inspect(self, request: web.Request) -> web.Response:
        return json_response(await self._backend.exec_inspect(request.match_info["id"]))
