"""A server's TLS that tells a client why it is turned away.

asyncio closes a connection whose handshake fails before the alert about it has been sent, so that the client sees no
more than its end. Here the alert goes out first (and to who speaks plain HTTP, an answer), and then the client is the
one to close: closing before all it has sent was read would take the alert back. asyncio ends what lasts for more than a
minute. Who is told is kept for that long, with its buffers, so only so many are told at a time.
"""

import logging
import ssl
from typing import Any, Final
from weakref import WeakSet

_log = logging.getLogger(__name__)

# Go's words, which every client of Docker shows.
_TEXT = b"Client sent an HTTP request to an HTTPS server.\n"
_PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_TEXT), _TEXT)
_MOST_TOLD: Final = 100


class _Connection(ssl.SSLObject):
    """One connection; ``incoming`` and ``outgoing`` are its bytes as they travel, ``told`` all that are being told."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    told: "WeakSet[_Connection]"
    is_refused = False

    def do_handshake(self) -> None:
        """As its parent's, but it goes on until the client has gone where it would fail; unless too many do."""
        if not self.is_refused:
            try:
                super().do_handshake()
                return
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                _log.debug("a client is refused: %s", error)
                if len(self.told) >= _MOST_TOLD:
                    raise
                self.told.add(self)
                self.is_refused = True
                if error.reason == "HTTP_REQUEST":
                    self.outgoing.write(_PLAIN_HTTP)
        self.incoming.read()
        # What asyncio takes for a handshake under way: it sends what there is, and waits for more.
        raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "refused")


class TellingContext(ssl.SSLContext):
    """A context for servers."""

    sslobject_class = _Connection

    def __init__(self, *args: Any) -> None:
        super().__init__()
        self._told: WeakSet[_Connection] = WeakSet()

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any) -> ssl.SSLObject:
        """A connection over these buffers; asyncio calls this for each."""
        connection = super().wrap_bio(incoming, outgoing, *args, **named)
        assert isinstance(connection, _Connection)
        connection.incoming, connection.outgoing, connection.told = incoming, outgoing, self._told
        return connection
