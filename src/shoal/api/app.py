"""The HTTP application: finds the handler, gives every answer Docker's headers, and errors Docker's form."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from shoal.aio.tasks import spawn
from shoal.api.requests import json_response
from shoal.api.router import Handler, Match, Router
from shoal.api.status import status_of
from shoal.api.versions import VERSION_KEY, check_version
from shoal.durable import faults
from shoal.errors import ShoalError
from shoal.version import API_VERSION, VERSION

_log = logging.getLogger(__name__)

Routes: TypeAlias = Sequence[web.RouteDef]

_BODY_LIMIT: Final = 16 * 1024 * 1024
HEADERS: Final = {
    "Api-Version": API_VERSION,
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Shoal/{VERSION} (linux)",
}
"""What every answer has."""


def build_app(routes: Routes, *, root: Path = Path("/"), body_limit: int = _BODY_LIMIT) -> web.Application:
    """An application that serves ``routes``, each under ``/`` and under ``/v1.24`` to the newest version.

    ``root`` is the folder that errors tell to free room in. Bodies that are read as a whole may have ``body_limit``
    bytes; streamed ones (images, archives) any number.
    """
    app = web.Application(client_max_size=body_limit)
    app.router.add_route("*", "/{path:.*}", _dispatcher(Router(routes), root))
    app.on_response_prepare.append(_add_headers)
    return app


def error_response(error: BaseException) -> web.Response:
    """Docker's answer to an error: ``{"message": …}`` and the status of its kind; nothing of our insides."""
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return message_response(413, "http: request body too large")
    if isinstance(error, LineTooLong):
        return message_response(431, "request header fields too large")
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        # The lines after the first show the bytes.
        why = (getattr(error, "message", "") or str(error)).partition("\n")[0].strip(" :")
        return message_response(400, f"malformed HTTP request: {why}")
    if isinstance(error, web.HTTPException):
        return message_response(error.status, error.text or error.reason)
    if not isinstance(error, ShoalError):
        return message_response(500, "internal error, see the daemon's log")
    status = status_of(error)
    return web.Response(status=304) if status == 304 else message_response(status, str(error))


def message_response(status: int, text: str) -> web.Response:
    """An error in Docker's form."""
    # What was asked may be quoted, and need not have been text.
    return json_response({"message": text.encode("utf-8", "replace").decode()}, status=status)


async def _add_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _dispatcher(router: Router, root: Path) -> Handler:
    """The one handler that aiohttp sees."""

    async def dispatch(request: web.Request) -> web.StreamResponse:
        match = router.find(request.method, request.path)
        if match is None:
            return message_response(404, "page not found")
        if match.is_stream:
            return await _answer(request, match, root)
        # The server cancels a handler whose client has gone; this one then goes on, and nobody reads its answer.
        return await asyncio.shield(spawn(_answer(request, match, root), name=f"{request.method} {request.path}"))

    return dispatch


async def _answer(request: web.Request, match: Match, root: Path) -> web.StreamResponse:
    request.match_info.update(match.values)
    try:
        if match.version is not None:
            request[VERSION_KEY] = check_version(match.version)
        return await match.handler(request)
    except (ShoalError, web.HTTPException) as error:
        return error_response(error)
    except (HttpProcessingError, web.RequestPayloadError) as error:
        response = error_response(error)
        response.force_close()  # Where the next request begins, nobody knows.
        return response
    except ConnectionError as error:
        if request.transport is None or request.transport.is_closing():
            return web.Response()  # The client's own connection: nobody is left to answer.
        return _unexpected(request, error)
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the client gets an answer and the log the rest
        if (fault := faults.machines(error, root)) is not None:
            _log.warning("%s %s: %s", request.method, request.path, fault)
            return error_response(fault)
        return _unexpected(request, error)


def _unexpected(request: web.Request, error: Exception) -> web.Response:
    _log.error("%s %s failed", request.method, request.path, exc_info=error)
    return error_response(error)
