"""``GET /metrics``, on an address of its own (``--metrics-addr``)."""

from collections.abc import Callable, Sequence

from aiohttp import web


def routes(text: Callable[[], str]) -> Sequence[web.RouteDef]:
    """Prometheus's text format 0.0.4."""

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=text().encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return [web.get("/metrics", metrics)]
