"""TLS towards a daemon on TCP. Loaded only when asked for: ``ssl`` costs 15 ms."""

import socket
import ssl

from shoal.client.transport import Wrap


def tls_wrap(*, ca: str, cert: str, key: str, verify: bool) -> Wrap:
    """What puts TLS on a connected socket. The files are PEM; ``verify`` holds the server to the CA and to its name.

    Raises OSError when a file cannot be read.
    """
    context = ssl.create_default_context(cafile=ca if verify else None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        context.load_cert_chain(cert, key)

    def wrap(plain: socket.socket, host: str) -> socket.socket:
        return context.wrap_socket(plain, server_hostname=host)

    return wrap
