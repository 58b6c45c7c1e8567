"""Where an etcd is, which keys of it are ours, and what it takes to be let in."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc

from shoal.errors import InvalidArgument

# Where nothing is said: a users' own etcd has other things in it.
PREFIX = "/shoal/swarm/"
PORT = 2379
_ENDPOINT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?")


@dataclass(frozen=True)
class TLS:
    """The files (PEM) of mutual TLS: whose signature etcd's certificate has to bear, and what we show it."""

    authority: Path
    certificate: Path
    key: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """As gRPC takes them. Raises InvalidArgument for a file that can't be read; blocks meanwhile."""
        authority, certificate, key = (_read(path) for path in (self.authority, self.certificate, self.key))
        return grpc.ssl_channel_credentials(authority, key, certificate)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}, which etcd is to be spoken to with: {error.strerror}") from error


@dataclass(frozen=True)
class Address:
    """``endpoints`` are ``host:port`` or ``unix:/path``, the preferred one first; ``prefix`` begins and ends in /."""

    endpoints: tuple[str, ...]
    prefix: str = PREFIX

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Of ``etcd://host:port,host:port/prefix``. The port is etcd's own, 2379, and the prefix ours, where they are
        left out. Raises InvalidArgument."""
        wrong = InvalidArgument(f"{url!r} is no etcd address: etcd://host:port,host:port/prefix is one")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise wrong from None
        if parts.scheme != "etcd" or not parts.netloc or parts.query or parts.fragment:
            raise wrong
        endpoints = tuple(_endpoint(text, url) for text in parts.netloc.split(","))
        prefix = f"/{parts.path.strip('/')}/" if parts.path.strip("/") else PREFIX
        return cls(endpoints, prefix)


def _endpoint(text: str, url: str) -> str:
    found = _ENDPOINT.fullmatch(text)
    port = int(found[2] or PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise InvalidArgument(f"{text!r} in {url!r} is no host:port")
    return f"{found[1]}:{port}"
