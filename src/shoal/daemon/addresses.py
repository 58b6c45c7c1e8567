"""Where a node listens and how it is reached, from what ``swarm init`` and ``swarm join`` are asked."""

import ipaddress
import socket
from dataclasses import dataclass

from shoal.errors import InvalidArgument
from shoal.kernel.routes import underlays
from shoal.objects.defaults import MOST_PORT, PEER_OFFSET

PORT = 2377
_BAD_LISTEN = "listen address must be an IP address or network interface (with optional port number)"
_BAD_ADVERTISE = "advertise address must be a non-zero IP address or network interface (with optional port number)"
_BAD_DATA_PATH = "data path address must be a non-zero IP address or network interface (without port number)"


@dataclass(frozen=True)
class Addresses:
    """``listen`` and ``advertise`` are ``address:port``; ``data_path`` is where the tunnels end."""

    listen: str
    advertise: str
    data_path: str


def plan(*, listen: str, advertise: str, data_path: str, toward: str = "") -> Addresses:
    """The addresses that a request means; ``toward`` is the host of another node, for who is to reach it: then what is
    advertised, unless asked for, is the address that leads there. Raises InvalidArgument in Docker's words."""
    listen_host, listen_port = split(listen or "0.0.0.0", PORT)
    listen_host = _resolve_interface(listen_host, _BAD_LISTEN)
    wanted = advertise or (_address_toward(toward) if toward else "") or _default_address()
    host, port = split(wanted, listen_port)
    host = _non_zero(_resolve_interface(host, _BAD_ADVERTISE), _BAD_ADVERTISE)
    if max(port, listen_port) > MOST_PORT:
        raise InvalidArgument(
            f"invalid listen or advertise address: the port is at most {MOST_PORT}, since a manager's etcd is at the "
            f"one {PEER_OFFSET} further"
        )
    tunnels = host
    if data_path:
        tunnels = _non_zero(_resolve_interface(data_path, _BAD_DATA_PATH), _BAD_DATA_PATH)
    return Addresses(listen=joined(listen_host, listen_port), advertise=joined(host, port), data_path=tunnels)


def split(text: str, default_port: int) -> tuple[str, int]:
    """Host and port. Raises InvalidArgument for a port that is none."""
    host, port = text, ""
    if text.startswith("[") or text.count(":") == 1:
        host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise InvalidArgument(f"invalid listen or advertise address {text}: the port is no number from 1 to 65535")
    return host.strip("[]"), int(port or default_port)


def joined(host: str, port: int) -> str:
    """``host:port``, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _non_zero(address: str, refusal: str) -> str:
    if ipaddress.ip_address(address).is_unspecified:
        raise InvalidArgument(refusal)
    return address


def _resolve_interface(text: str, refusal: str) -> str:
    """An address as it is, an interface's name as its address. Raises InvalidArgument with ``refusal``."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    found = next((u.address for u in underlays() if u.link == text), None)
    if found is None:
        raise InvalidArgument(refusal)
    return found


def _address_toward(host: str) -> str:
    """The machine's own address on the way to another; empty where there is no way, or no such host."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Nothing is sent: connecting a datagram socket only chooses the way.
            probe.connect(address)
            own = ipaddress.ip_address(probe.getsockname()[0])
    except OSError:
        return ""
    return "" if own.is_loopback or own.is_unspecified else str(own)


def _default_address() -> str:
    """The machine's one address. Raises InvalidArgument, in Docker's words, where there are several or none."""
    found = [u for u in underlays() if ":" not in u.address]
    if not found:
        raise InvalidArgument("could not find the system's IP address - specify one with --advertise-addr")
    links = {underlay.link for underlay in found}
    if len(found) > 1 and len(links) > 1:
        listed = " and ".join(f"{u.address} on {u.link}" for u in found[:2])
        raise InvalidArgument(
            f"could not choose an IP address to advertise since this system has multiple addresses on different "
            f"interfaces ({listed}) - specify one with --advertise-addr"
        )
    if len(found) > 1:
        raise InvalidArgument(
            "could not choose an IP address to advertise since this system has multiple addresses on interface "
            f"{found[0].link} ({' and '.join(u.address for u in found[:2])}) - specify one with --advertise-addr"
        )
    return found[0].address
