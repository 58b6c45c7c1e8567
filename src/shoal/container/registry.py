"""Registries: find the one that has what a reference names, and speak to it.

The mirrors are asked first, then the registry itself, https before http where both are allowed; what the last of them
said is the error.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp

from shoal.aio.clock import Clock
from shoal.container.distribution.auth import ANONYMOUS, AuthConfig
from shoal.container.distribution.errors import RegistryError, RegistryUnreachable, for_pull
from shoal.container.distribution.hosts import Host, RegistryConfig, hosts
from shoal.container.distribution.repository import Document, Repository
from shoal.container.image.config import parse_config
from shoal.container.image.manifest import INDEXES, Descriptor, Platform, parse_index, parse_manifest
from shoal.container.image.platform import select
from shoal.container.reference import DEFAULT_DOMAIN, DEFAULT_TAG, LEGACY_DOMAIN, Reference
from shoal.errors import InvalidArgument, NotFound

T = TypeVar("T")

CONFIG_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a reference named: the top document's digest, the manifest for the platform, and where its blobs are."""

    digest: str
    manifest: Document
    repository: Repository


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a registry has under a name, and the platforms it has it for."""

    descriptor: Descriptor
    platforms: tuple[Platform, ...]


class Registry:
    """Made inside the event loop; :meth:`close` ends its connections."""

    def __init__(self, *, config: RegistryConfig, clock: Clock, user_agent: str) -> None:
        self._config = config
        self._clock = clock
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": user_agent}, trust_env=True, auto_decompress=False, raise_for_status=False
        )
        self._contexts: dict[Host, ssl.SSLContext | bool] = {}
        self._answered: dict[str, str] = {}

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    async def resolve(self, reference: Reference, platform: Platform, auth: AuthConfig = ANONYMOUS) -> Resolved:
        """Find what ``reference`` (with a tag or a digest) names, for ``platform``.

        Raises :class:`NotFound` with Docker's texts when there is none or it may not be seen,
        :class:`RegistryUnreachable` when nobody answers, :class:`RegistryError` for any other refusal.
        """

        async def find(repository: Repository) -> Resolved:
            top = await repository.document(reference.digest or reference.tag or DEFAULT_TAG)
            return Resolved(top.digest, await _for_platform(repository, top, platform, reference), repository)

        return await self._ask(reference, auth, find)

    async def inspect(self, reference: Reference, auth: AuthConfig = ANONYMOUS) -> Distribution:
        """What ``reference`` names, without choosing a platform. Raises as :meth:`resolve`."""

        async def look(repository: Repository) -> Distribution:
            top = await repository.document(reference.digest or reference.tag or DEFAULT_TAG)
            if top.media_type in INDEXES:
                offered = [entry.platform for entry in parse_index(top.content).manifests]
                return Distribution(top.descriptor, tuple(platform for platform in offered if platform is not None))
            blob = parse_manifest(top.content).config
            if blob.size > CONFIG_LIMIT:
                raise InvalidArgument(f"image config of {reference.familiar} is too large")
            config = parse_config(b"".join([chunk async for chunk in repository.blob(blob)]))
            platform = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
            return Distribution(top.descriptor, (platform,))

        return await self._ask(reference, auth, look)

    async def tags(self, reference: Reference, auth: AuthConfig = ANONYMOUS) -> list[str]:
        """All tags of the repository. Raises as :meth:`resolve`."""
        return await self._ask(reference, auth, Repository.tags)

    async def login(self, auth: AuthConfig) -> None:
        """Have ``auth`` checked by its ``serveraddress``.

        Raises :class:`RegistryError` with Docker's text when it is refused, :class:`RegistryUnreachable`.
        """
        domain = auth.serveraddress.removeprefix("https://").removeprefix("http://").partition("/")[0]
        if not domain or domain == LEGACY_DOMAIN:
            domain = DEFAULT_DOMAIN
        await self._first(domain, "", auth, Repository.login, push=True)

    async def destination(self, reference: Reference, auth: AuthConfig = ANONYMOUS) -> Repository:
        """The repository to push ``reference`` to. Raises :class:`RegistryUnreachable`."""

        async def itself(repository: Repository) -> Repository:
            return repository

        return await self._first(reference.domain, reference.path, auth, itself, push=True)

    async def _ask(self, reference: Reference, auth: AuthConfig, action: Callable[[Repository], Awaitable[T]]) -> T:
        try:
            return await self._first(reference.domain, reference.path, auth, action)
        except RegistryError as error:
            raise for_pull(error, reference) from error

    async def _first(
        self,
        domain: str,
        path: str,
        auth: AuthConfig,
        action: Callable[[Repository], Awaitable[T]],
        *,
        push: bool = False,
    ) -> T:
        """``action``'s result at the first host that answers; a mirror's refusal is not the last word."""
        failure: RegistryError | RegistryUnreachable | NotFound | None = None
        for host in self._ordered(hosts(domain, self._config, push=push)):
            # What docker login left is for the registry, not for its mirrors.
            repository = Repository(
                session=self._session,
                host=host,
                path=path,
                auth=ANONYMOUS if host.mirror else auth,
                push=push,
                tls=await self._tls(host),
                clock=self._clock,
            )
            try:
                await repository.ping()
                self._answered[host.authority] = host.scheme
                return await action(repository)
            except RegistryUnreachable as error:
                failure = error
            except (RegistryError, NotFound) as error:
                if not host.mirror:
                    raise
                failure = error
        assert failure is not None, "every domain has a host"
        raise failure

    def _ordered(self, found: list[Host]) -> list[Host]:
        """The scheme that answered last time comes first, so that plain http costs no failed handshake each time."""
        return sorted(
            found, key=lambda host: not host.mirror and self._answered.get(host.authority) not in (None, host.scheme)
        )

    async def _tls(self, host: Host) -> ssl.SSLContext | bool:
        if host not in self._contexts:
            folder = self._config.certificates / host.authority
            self._contexts[host] = await asyncio.to_thread(_tls_context, folder, host.verify)
        return self._contexts[host]


def _tls_context(folder: Path, verify: bool) -> ssl.SSLContext | bool:
    """How to check that host; True is aiohttp's default. Raises :class:`InvalidArgument` for files that are no keys."""
    if not folder.is_dir():
        return verify
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        for certificate in sorted(folder.glob("*.crt")):
            context.load_verify_locations(certificate)
        for certificate in sorted(folder.glob("*.cert")):
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    except OSError as error:
        raise InvalidArgument(f"certificates of {folder.name}: {error}") from error
    return context


async def _for_platform(repository: Repository, top: Document, platform: Platform, reference: Reference) -> Document:
    """``top`` itself, or the manifest in it that runs on ``platform``."""
    document = top
    for _depth in range(2):
        if document.media_type not in INDEXES:
            return document
        chosen = select(parse_index(document.content).manifests, platform)
        if chosen is None:
            raise NotFound(f"no matching manifest for {platform} in the manifest list entries")
        document = await repository.document(chosen.digest)
    if document.media_type in INDEXES:
        raise InvalidArgument(f"manifest lists of {reference.familiar} are nested too deep")
    return document
