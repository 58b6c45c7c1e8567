"""The resolver's sockets, opened inside a sandbox's network namespace; they stay there when the thread has left it."""

import socket
from functools import partial
from pathlib import Path

from shoal.errors import Unavailable
from shoal.kernel.netns import run_in
from shoal.wire.keeper import Sandbox

_IP_FREEBIND = 15


def open_dns_sockets(sandbox: Sandbox) -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket at the sandbox's resolver address. To be called in a thread.

    Raises :class:`NotFound` if there is no such namespace, :class:`Unavailable` if the address is taken there.
    """
    return run_in(Path(sandbox.netns_path), partial(_open, sandbox))


def _open(sandbox: Sandbox) -> tuple[socket.socket, socket.socket]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        for opened, port in ((udp, sandbox.udp_port), (tcp, sandbox.tcp_port)):
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)  # lo may not be up yet
            opened.bind((sandbox.address, port))
        tcp.listen(128)
    except OSError as error:
        udp.close()
        tcp.close()
        raise Unavailable(f"names cannot be served in {sandbox.netns_path}: {error}") from error
    return udp, tcp
