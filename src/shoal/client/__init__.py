"""A client of the Engine API over HTTP, for the command line and for tests.

Its nouns: an endpoint (where the daemon listens), a connection (one socket that speaks HTTP/1.1), an engine (the API
with its negotiated version and its errors as kinds), a hijacked stream (a container's standard streams), the
configuration of registries' credentials.

``shoal.cli`` and the end-to-end tests call it. It calls nothing but ``shoal.errors`` and ``shoal.version``: neither the
daemon's packages nor asyncio, aiohttp or msgspec, since what it imports is what a user waits for at each command
(the standard library's ``http.client`` alone costs as much as everything here).

Answers are plain dicts, as JSON gives them: a daemon of another age may lack fields or have more of them.
"""
