"""``/images``: what there is, and bringing it in and out. Names contain slashes."""

from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from aiohttp import web

from shoal import errors
from shoal.api.backends_containers import ImageBackend, Report
from shoal.api.filters import filters_of
from shoal.api.image_filters import ACCEPTED, PRUNE, names, select
from shoal.api.progress import messages
from shoal.api.requests import json_response, query_bool, query_text, registry_auth
from shoal.api.router import stream
from shoal.api.routes.archive import body_of
from shoal.api.streams import TAR, stream_bytes, stream_json
from shoal.api.versions import version_of
from shoal.objects.container import Pascal
from shoal.wire.docker.images import history, inspect, pruned, summary


class _CachePruned(Pascal, frozen=True):
    caches_deleted: list[str] | None = None
    space_reclaimed: int = 0


def routes(backend: ImageBackend) -> list[web.RouteDef]:
    """Everything about images, and what there is of builds."""
    one = _Images(backend)
    return [
        web.get("/images/json", one.list),
        web.get("/images/search", one.search),
        web.get("/images/get", one.save),
        stream("POST", "/images/create", one.create),
        # Not ended with its client: what has been uploaded is loaded.
        web.post("/images/load", one.load),
        web.post("/images/prune", one.prune),
        web.get("/images/{name:.+}/json", one.inspect),
        web.get("/images/{name:.+}/history", one.history),
        web.get("/images/{name:.+}/get", one.save),
        stream("POST", "/images/{name:.+}/push", one.push),
        web.post("/images/{name:.+}/tag", one.tag),
        web.delete("/images/{name:.+}", one.remove),
        web.post("/build", one.build),
        web.post("/build/prune", one.prune_build_cache),
    ]


class _Images:
    """The handlers."""

    def __init__(self, backend: ImageBackend) -> None:
        self._backend = backend

    async def list(self, request: web.Request) -> web.Response:
        filters, version = filters_of(request, ACCEPTED), version_of(request)
        before = [await self._backend.inspect(ref) for ref in filters.get("before")]
        since = [await self._backend.inspect(ref) for ref in filters.get("since")]
        chosen = select(await self._backend.images(), filters, before=before, since=since)
        is_meant = names(filters)
        return json_response([summary(image, version, is_meant=is_meant) for image in chosen])

    async def inspect(self, request: web.Request) -> web.Response:
        image = await self._backend.inspect(request.match_info["name"])
        return json_response(inspect(image, version_of(request)))

    async def history(self, request: web.Request) -> web.Response:
        return json_response(history(await self._backend.history(request.match_info["name"])))

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Pull (``fromImage``), or import (``fromSrc``)."""
        name, source = query_text(request, "fromImage"), query_text(request, "fromSrc")
        tag, platform = query_text(request, "tag"), query_text(request, "platform")
        if name:
            auth = registry_auth(request)

            async def pull(report: Report) -> None:
                await self._backend.pull(name, tag, platform=platform, auth=auth, report=report)

            return await _answer(request, pull)
        if not source:
            raise errors.InvalidArgument("fromImage or fromSrc must be given")
        if source != "-":
            raise errors.Unimplemented(f"importing from {source}: only what comes with the request (-) can be imported")

        async def import_(report: Report) -> None:
            await self._backend.import_(
                body_of(request),
                name=query_text(request, "repo"),
                tag=tag,
                changes=request.query.getall("changes", []),
                message=query_text(request, "message") or "Imported from -",
                platform=platform,
                report=report,
            )

        return await _answer(request, import_)

    async def push(self, request: web.Request) -> web.StreamResponse:
        name, tag, auth = request.match_info["name"], query_text(request, "tag"), registry_auth(request)

        async def push(report: Report) -> None:
            await self._backend.push(name, tag, auth=auth, report=report)

        return await _answer(request, push)

    async def load(self, request: web.Request) -> web.StreamResponse:
        platform, quiet = query_text(request, "platform"), query_bool(request, "quiet")

        async def load(report: Report) -> None:
            await self._backend.load(body_of(request), platform=platform, report=report)

        # Clients that ask for quiet need not read the answer, and take it for the sign that all is loaded.
        return await _answer(request, load, only_results=quiet)

    async def save(self, request: web.Request) -> web.StreamResponse:
        names = [request.match_info["name"]] if "name" in request.match_info else request.query.getall("names", [])
        if not names:
            raise errors.InvalidArgument("no images to save: give at least one in names")
        pieces = await self._backend.save(names)
        return await stream_bytes(request, pieces, content_type=TAR, at_once=False)

    async def tag(self, request: web.Request) -> web.Response:
        repo, tag = query_text(request, "repo"), query_text(request, "tag")
        await self._backend.tag(request.match_info["name"], repo, tag)
        return web.Response(status=201)

    async def remove(self, request: web.Request) -> web.Response:
        removed = await self._backend.remove(request.match_info["name"], force=query_bool(request, "force"))
        return json_response(list(removed))

    async def prune(self, request: web.Request) -> web.Response:
        filters = filters_of(request, PRUNE)
        filters.boolean("dangling")
        return json_response(pruned(await self._backend.prune(filters.values())))

    async def search(self, request: web.Request) -> web.Response:
        raise errors.Unimplemented("searching Docker Hub is not supported")

    async def build(self, request: web.Request) -> web.Response:
        raise errors.Unimplemented(
            "building images is not supported: build with another tool (docker buildx, buildah), then push or load"
        )

    async def prune_build_cache(self, request: web.Request) -> web.Response:
        return json_response(_CachePruned())


async def _answer(
    request: web.Request, work: Callable[[Report], Awaitable[None]], *, only_results: bool = False
) -> web.StreamResponse:
    """Do the work while its messages are sent. What fails before the first has a status of its own."""
    progress = messages(work, name=f"{request.method} {request.path}")
    items: AsyncIterator[object] = _results(progress) if only_results else progress
    return await stream_json(request, items, at_once=False)


async def _results(progress: AsyncIterator[msgspec.Struct]) -> AsyncIterator[object]:
    """What was made (the messages with a ``stream``), once all is done."""
    told = [message async for message in progress]
    for message in told:
        if getattr(message, "stream", ""):
            yield message
