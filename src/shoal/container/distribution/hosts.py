"""Where to ask for a repository: mirrors first, https before http, http only where that is allowed."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shoal.container.reference import DEFAULT_DOMAIN
from shoal.errors import InvalidArgument

HUB = "registry-1.docker.io"
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(frozen=True, slots=True)
class Host:
    """One registry endpoint; ``authority`` is ``host[:port]``, ``prefix`` the path before ``/v2/``."""

    scheme: str
    authority: str
    prefix: str = ""
    verify: bool = True
    mirror: bool = False

    @property
    def base(self) -> str:
        """The URL that the protocol's paths follow, ``…/v2/``."""
        return f"{self.scheme}://{self.authority}{self.prefix}/v2/"


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """The daemon's settings about registries.

    ``mirrors`` are URLs asked before Docker Hub; ``insecure`` are ``host[:port]`` or networks in CIDR form, beside
    loopback; ``certificates`` holds ``<host[:port]>/{ca.crt,*.crt,client.cert,client.key}``, as for dockerd.
    """

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    certificates: Path = Path("/etc/docker/certs.d")


def check_mirror(url: str) -> str:
    """The mirror's URL as used. Raises :class:`InvalidArgument` with dockerd's text."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidArgument(f'invalid mirror: unsupported scheme "{parts.scheme}" in "{url}"')
    if parts.query or parts.fragment:
        raise InvalidArgument(f'invalid mirror: query or fragment at end of the URI "{url}"')
    if parts.username is not None:
        raise InvalidArgument(f'invalid mirror: username/password not allowed in URI "{url}"')
    return url.rstrip("/")


def is_insecure(authority: str, insecure: Sequence[str]) -> bool:
    """Whether plain http or an unknown certificate is acceptable there.

    Networks in CIDR form are held against literal addresses only; names must be listed as names.
    """
    if authority in insecure:
        return True
    name = urlsplit(f"//{authority}").hostname or ""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    networks = [ipaddress.ip_network(entry, strict=False) for entry in insecure if "/" in entry]
    return any(address in network for network in (*_LOOPBACK, *networks))


def hosts(domain: str, config: RegistryConfig, *, push: bool = False) -> list[Host]:
    """The endpoints for repositories of ``domain``, in the order to try them; one pushes to the registry itself."""
    if domain != DEFAULT_DOMAIN:
        return _endpoints(domain, config)
    found: list[Host] = []
    for mirror in () if push else config.mirrors:
        parts = urlsplit(check_mirror(mirror))
        verify = not is_insecure(parts.netloc, config.insecure)
        found.append(Host(parts.scheme, parts.netloc, parts.path, verify, mirror=True))
    return [*found, Host("https", HUB)]


def _endpoints(authority: str, config: RegistryConfig) -> list[Host]:
    if is_insecure(authority, config.insecure):
        return [Host("https", authority, verify=False), Host("http", authority, verify=False)]
    return [Host("https", authority)]
