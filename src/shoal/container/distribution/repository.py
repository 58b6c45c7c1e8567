"""One repository on one registry: manifests, blobs and tags, read and written (OCI distribution specification)."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from shoal.aio.clock import Clock
from shoal.container.distribution.auth import AuthConfig, authorization, parse_challenge
from shoal.container.distribution.errors import RegistryError, RegistryUnreachable, refusal, unreachable
from shoal.container.distribution.hosts import Host
from shoal.container.image.manifest import INDEXES, MANIFESTS, SCHEMA1_MANIFESTS, Descriptor, digest_of, media_type_of
from shoal.errors import InvalidArgument

_CHUNK = 256 << 10
"""Bytes read at a time: hashing more would hold up the event loop."""
_ACCEPT = ", ".join(sorted(MANIFESTS | INDEXES))
_ATTEMPTS = 5
_MANIFEST_LIMIT = 4 << 20
_DIGEST_HEADER = "Docker-Content-Digest"
_PING_TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=10)
_READ_TIMEOUT = aiohttp.ClientTimeout(sock_connect=10, sock_read=60)


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest or an index as the registry has it, byte for byte."""

    media_type: str
    digest: str
    content: bytes

    @property
    def descriptor(self) -> Descriptor:
        """What points at it."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.content))


class _Tags(msgspec.Struct, frozen=True):
    tags: list[str] | None = None


class Repository:
    """Speaks to one host about one repository, and keeps the token that the host asked for.

    ``path`` may be empty for a login. All methods raise :class:`RegistryError` when the host refuses and
    :class:`RegistryUnreachable` when it does not answer.
    """

    def __init__(
        self,
        *,
        session: aiohttp.ClientSession,
        host: Host,
        path: str,
        auth: AuthConfig,
        push: bool,
        tls: Any,
        clock: Clock,
    ) -> None:
        self.host = host
        self._session = session
        self._path = path
        self._auth = auth
        self._scope = f"repository:{path}:{'pull,push' if push else 'pull'}" if path else ""
        self._tls = tls
        self._clock = clock
        self._authorization = ""

    async def ping(self) -> None:
        """Ask whether anybody is there; whatever it answers will do, a refusal too."""
        url = self.host.base
        try:
            async with self._session.get(url, ssl=self._tls, timeout=_PING_TIMEOUT):
                return
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable("GET", url, error) from error

    async def login(self) -> None:
        """Have the credentials checked."""
        url = self.host.base
        async with self._request("GET", url) as response:
            if response.status != 200:
                reason = f"{response.status} {response.reason}"
                raise RegistryError(f"login attempt to {url} failed with status: {reason}", "UNAUTHORIZED")

    async def document(self, reference: str) -> Document:
        """The manifest or index of a tag or a digest, verified."""
        url = self._url("manifests", reference)
        async with self._request("GET", url, headers={"Accept": _ACCEPT}) as response:
            await _expect(response, 200)
            content = await response.content.read(_MANIFEST_LIMIT + 1)
            while len(content) <= _MANIFEST_LIMIT and (more := await response.content.read(_MANIFEST_LIMIT)):
                content += more
            if len(content) > _MANIFEST_LIMIT:
                raise RegistryError(f"manifest {reference} is larger than {_MANIFEST_LIMIT} bytes")
            declared = response.headers.get("Content-Type", "")
            header = response.headers.get(_DIGEST_HEADER)
        try:
            media_type = media_type_of(content, declared)
        except InvalidArgument as error:
            raise RegistryError(str(error)) from error
        if media_type in SCHEMA1_MANIFESTS:
            raise RegistryError(
                "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 support "
                f"is disabled by default. Update {reference} to a newer format"
            )
        digest = digest_of(content)
        wanted = reference if ":" in reference else header
        if wanted is not None and wanted.startswith("sha256:") and wanted != digest:
            raise RegistryError(f"manifest verification failed for digest {wanted}")
        return Document(media_type, digest, content)

    async def blob(self, descriptor: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """The blob's bytes from ``offset`` on; taken up again where a connection broke.

        The digest is checked when it is read from the start: the last chunk is held back until it is right.
        """
        url = self._url("blobs", descriptor.digest)
        hashed = hashlib.sha256() if offset == 0 and descriptor.digest.startswith("sha256:") else None
        position, attempt = offset, 0
        held = b""
        while position < descriptor.size:
            try:
                async for chunk in self._blob_from(url, position):
                    position += len(chunk)
                    attempt = 0
                    if hashed is not None:
                        hashed.update(chunk)
                    if held:
                        yield held
                    held = chunk
                if position < descriptor.size:
                    raise RegistryUnreachable(f'Get "{url}": unexpected EOF')
            except RegistryUnreachable:
                attempt += 1
                if attempt >= _ATTEMPTS:
                    raise
                await self._clock.sleep(0.2 * 2**attempt)
        wrong = hashed is not None and f"sha256:{hashed.hexdigest()}" != descriptor.digest
        if position != descriptor.size or wrong:
            raise RegistryError(f"filesystem layer verification failed for digest {descriptor.digest}")
        if held:
            yield held

    async def _blob_from(self, url: str, position: int) -> AsyncIterator[bytes]:
        headers = {"Range": f"bytes={position}-"} if position else {}
        async with self._request("GET", url, headers=headers) as response:
            await _expect(response, 200, 206)
            skip = position if response.status == 200 else 0
            try:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    if skip:
                        skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
                    if chunk:
                        yield chunk
            except (aiohttp.ClientError, TimeoutError) as error:
                raise unreachable("GET", url, error) from error

    async def tags(self) -> list[str]:
        """All tags of the repository, following the pages."""
        url: str | None = self._url("tags", "list")
        found: list[str] = []
        while url is not None:
            async with self._request("GET", url) as response:
                await _expect(response, 200)
                body = await response.read()
                links = response.links
            try:
                found += msgspec.json.decode(body, type=_Tags).tags or []
            except msgspec.MsgspecError as error:
                raise RegistryError(f"invalid list of tags: {error}") from error
            url = str(links["next"]["url"]) if "next" in links else None
        return found

    async def has_blob(self, digest: str) -> bool:
        """Whether the repository holds that blob."""
        async with self._request("HEAD", self._url("blobs", digest)) as response:
            if response.status != 404:
                await _expect(response, 200)
            return response.status == 200

    async def upload(self, descriptor: Descriptor, chunks: AsyncIterator[bytes]) -> None:
        """Send a blob in one piece."""
        async with self._request("POST", self._url("blobs", "uploads/")) as response:
            await _expect(response, 202)
            location = response.headers.get("Location", "")
        target = str(URL(self.host.base).join(URL(location, encoded=True)))
        target += f"{'&' if '?' in target else '?'}digest={descriptor.digest}"
        headers = {"Content-Length": str(descriptor.size), "Content-Type": "application/octet-stream"}
        async with self._request("PUT", target, headers=headers, data=chunks, repeatable=False) as response:
            await _expect(response, 201, 204)

    async def put(self, reference: str, media_type: str, content: bytes) -> None:
        """Store a manifest under a tag or its digest."""
        headers = {"Content-Type": media_type}
        async with self._request("PUT", self._url("manifests", reference), headers=headers, data=content) as response:
            await _expect(response, 201, 200)

    def _url(self, kind: str, last: str) -> str:
        return f"{self.host.base}{self._path}/{kind}/{last}"

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        repeatable: bool = True,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send, and once more with authorization when the host asks for it and ``data`` can be sent again."""
        response = await self._send(method, url, headers or {}, data)
        challenge = parse_challenge(response.headers.get("WWW-Authenticate", ""))
        if response.status == 401 and challenge is not None and repeatable:
            response.release()
            described = f'{method.capitalize()} "{url}"'
            self._authorization = await authorization(self._session, challenge, self._auth, self._scope, described)
            response = await self._send(method, url, headers or {}, data)
        try:
            yield response
        finally:
            response.close() if not response.content.is_eof() else response.release()

    async def _send(self, method: str, url: str, headers: Mapping[str, str], data: Any) -> aiohttp.ClientResponse:
        target = URL(url, encoded=True)
        own = target.origin() == URL(self.host.base).origin()
        sent = dict(headers) | ({"Authorization": self._authorization} if self._authorization and own else {})
        try:
            return await self._session.request(
                method, target, headers=sent, data=data, ssl=self._tls, timeout=_READ_TIMEOUT
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise unreachable(method, url, error) from error


async def _expect(response: aiohttp.ClientResponse, *statuses: int) -> None:
    if response.status in statuses:
        return
    try:
        body = await response.content.read(1 << 16)
    except (aiohttp.ClientError, TimeoutError):
        body = b""
    raise refusal(response.status, body, response.headers.get("WWW-Authenticate", ""))
