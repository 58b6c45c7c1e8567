"""TLS towards a daemon on TCP. Loaded only when asked for: ``ssl`` costs 15 ms."""

import socket
import ssl

from shoal.client.transport import Wrap, reason
from shoal.errors import InvalidArgument, Unavailable


def tls_wrap(*, ca: str, cert: str, key: str, verify: bool) -> Wrap:
    """What puts TLS on a connected socket. The files are PEM; ``verify`` holds the server to the CA and to its name.

    Raises InvalidArgument for a file that cannot be read or used; the wrapping, Unavailable for a server that is not
    to be trusted.
    """
    for path in (*([ca] if verify else []), *([cert, key] if cert else [])):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise InvalidArgument(f"unable to resolve docker endpoint: open {path}: {reason(error)}") from error
    try:
        context = ssl.create_default_context(cafile=ca if verify else None)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert:
            context.load_cert_chain(cert, key)
    except OSError as error:
        files = f"ca: {ca}, cert: {cert}, key: {key}"
        raise InvalidArgument(f"unable to resolve docker endpoint: {reason(error)} ({files})") from error

    def wrap(plain: socket.socket, host: str) -> socket.socket:
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLError as error:
            raise Unavailable(f"error during connect: {reason(error)}") from error

    return wrap
