"""The Docker Engine API over HTTP: the one interface that clients see.

Its nouns: a *route* (method, path, handler), a *handler* (decode, one call of a backend, encode), a *backend* (what a
noun's routes need of the daemon, a Protocol in ``backends.py`` or ``backends_containers.py``), a *listener* (a socket
that the server answers on), a *connection* (what half-closes, dawdles or speaks no HTTP is its affair), a *hijacked*
connection (HTTP that turned into a container's raw streams).

``daemon`` calls :func:`~shoal.api.app.build_app` with the routes of every noun, each given its backend, and serves the
result with :class:`~shoal.api.server.ApiServer`. This package calls the backends that it was given, ``wire.docker`` for
answers that differ from the objects, and nothing below: it imports neither the manager nor the engine.

It decides nothing: no validation beyond what the HTTP form demands, no state. What clients of older API versions see
otherwise is in ``versions.py``; which error is which HTTP status is in ``status.py``, and nowhere else.
"""
