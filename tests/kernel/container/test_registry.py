"""The registry protocol against Debian's docker-registry, and against one that asks for tokens and breaks off."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from shoal.aio.clock import SystemClock
from shoal.container.distribution.auth import ANONYMOUS, AuthConfig
from shoal.container.distribution.errors import RegistryError
from shoal.container.distribution.hosts import RegistryConfig
from shoal.container.image.config import ImageConfig, RootFS, encode_config
from shoal.container.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    digest_of,
    encode,
)
from shoal.container.reference import Reference, parse
from shoal.container.registry import Registry
from shoal.errors import InvalidArgument, NotFound, Unavailable

pytestmark = pytest.mark.root

AMD64 = Platform(os="linux", architecture="amd64")
USER = AuthConfig(username="u", password="p")
HTPASSWD = "u:$2y$12$aJpwyMEqIl7pbPihMxSVCOODSpck1OC0fzRwlqpHNg0smNmGdHiuC\n"
LAYER = bytes(range(256)) * 8192  # 2 MiB: more than one chunk
CONFIG = encode_config(ImageConfig(architecture="amd64", os="linux", rootfs=RootFS(diff_ids=[digest_of(LAYER)])))
MANIFEST = encode(
    Manifest(
        config=Descriptor(media_type=DOCKER_CONFIG, digest=digest_of(CONFIG), size=len(CONFIG)),
        layers=[Descriptor(media_type=DOCKER_LAYER, digest=digest_of(LAYER), size=len(LAYER))],
        media_type=DOCKER_MANIFEST,
    )
)
LAYER_BLOB = Descriptor(media_type=DOCKER_LAYER, digest=digest_of(LAYER), size=len(LAYER))
CONFIG_BLOB = Descriptor(media_type=DOCKER_CONFIG, digest=digest_of(CONFIG), size=len(CONFIG))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def docker_registry(folder: Path, *, password: bool = False) -> AsyncIterator[str]:
    """Debian's registry on a free port; its ``host:port``."""
    authority = f"127.0.0.1:{free_port()}"
    auth = ""
    if password:
        (folder / "htpasswd").write_text(HTPASSWD)
        auth = f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: {authority}}}\n{auth}"
    )
    process = await asyncio.create_subprocess_exec(
        "docker-registry",
        "serve",
        str(folder / "config.yml"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        host, port = authority.split(":")
        for _attempt in range(200):
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
        yield authority
    finally:
        process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def registry(config: RegistryConfig | None = None) -> AsyncIterator[Registry]:
    opened = Registry(config=config or RegistryConfig(), clock=SystemClock(), user_agent="test")
    try:
        yield opened
    finally:
        await opened.close()


async def one(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def publish(client: Registry, reference: Reference, auth: AuthConfig = ANONYMOUS) -> None:
    repository = await client.destination(reference, auth)
    for blob, data in ((LAYER_BLOB, LAYER), (CONFIG_BLOB, CONFIG)):
        assert not await repository.has_blob(blob.digest)
        await repository.upload(blob, one(data))
        assert await repository.has_blob(blob.digest)
    await repository.put(reference.tag or "", DOCKER_MANIFEST, MANIFEST)


async def download(client: Registry, reference: Reference, auth: AuthConfig = ANONYMOUS, offset: int = 0) -> bytes:
    resolved = await client.resolve(reference, AMD64, auth)
    return b"".join([chunk async for chunk in resolved.repository.blob(LAYER_BLOB, offset)])


def test_push_and_pull(tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_registry(tmp_path) as authority, registry() as client:
            name = parse(f"{authority}/a/b:1")
            await publish(client, name)
            resolved = await client.resolve(name, AMD64)
            assert (resolved.digest, resolved.manifest.content) == (digest_of(MANIFEST), MANIFEST)
            assert await download(client, name) == LAYER
            assert await download(client, name.with_digest(digest_of(MANIFEST)), offset=1_500_000) == LAYER[1_500_000:]
            assert await client.tags(name) == ["1"]
            seen = await client.inspect(name)
            assert (seen.descriptor.digest, seen.platforms) == (digest_of(MANIFEST), (AMD64,))

    asyncio.run(run())


def test_an_index_leads_to_the_platforms_manifest(tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_registry(tmp_path) as authority, registry() as client:
            name = parse(f"{authority}/app:1")
            await publish(client, name)
            entry = Descriptor(
                media_type=DOCKER_MANIFEST, digest=digest_of(MANIFEST), size=len(MANIFEST), platform=AMD64
            )
            index = encode(Index(manifests=[entry], media_type=OCI_INDEX))
            await (await client.destination(name)).put("all", OCI_INDEX, index)
            resolved = await client.resolve(name.with_tag("all"), AMD64)
            assert (resolved.digest, resolved.manifest.content) == (digest_of(index), MANIFEST)
            assert (await client.inspect(name.with_tag("all"))).platforms == (AMD64,)
            with pytest.raises(NotFound, match="no matching manifest for linux/s390x in the manifest list entries"):
                await client.resolve(name.with_tag("all"), Platform(os="linux", architecture="s390x"))

    asyncio.run(run())


def test_what_is_not_there(tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_registry(tmp_path) as authority, registry() as client:
            for name in (f"{authority}/nosuch:1", f"{authority}/x@{digest_of(b'')}"):
                with pytest.raises(NotFound) as error:
                    await client.resolve(parse(name), AMD64)
                assert str(error.value) == f"manifest for {name} not found: manifest unknown: manifest unknown"
            with pytest.raises(NotFound, match="repository .*/nosuch not found: name unknown"):
                await client.tags(parse(f"{authority}/nosuch"))

    asyncio.run(run())


def test_passwords(tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_registry(tmp_path, password=True) as authority, registry() as client:
            name = parse(f"{authority}/app:1")
            with pytest.raises(RegistryError) as error:
                await client.resolve(name, AMD64)
            assert str(error.value) == f'Get "http://{authority}/v2/app/manifests/1": no basic auth credentials'
            with pytest.raises(RegistryError) as error:
                await client.resolve(name, AMD64, AuthConfig(username="u", password="x"))
            assert str(error.value) == "unauthorized: authentication required"
            await publish(client, name, USER)
            assert await download(client, name, USER) == LAYER
            encoded = AuthConfig(auth=base64.b64encode(b"u:p").decode())
            assert await download(client, name, encoded) == LAYER
            await client.login(AuthConfig(username="u", password="p", serveraddress=f"http://{authority}"))
            with pytest.raises(RegistryError) as error:
                await client.login(AuthConfig(username="u", password="x", serveraddress=authority))
            assert str(error.value) == (f"login attempt to http://{authority}/v2/ failed with status: 401 Unauthorized")

    asyncio.run(run())


def test_nobody_there() -> None:
    async def run() -> None:
        async with registry() as client:
            authority = f"127.0.0.1:{free_port()}"
            with pytest.raises(Unavailable) as error:
                await client.resolve(parse(f"{authority}/x:1"), AMD64)
            assert str(error.value) == (
                f'Get "http://{authority}/v2/": dial tcp {authority}: connect: connection refused'
            )
            with pytest.raises(Unavailable, match="dial tcp: lookup no-such-host.invalid: "):
                await client.resolve(parse("no-such-host.invalid/x:1"), AMD64)

    asyncio.run(run())


class TokenRegistry:
    """Serves one image to bearers of a token; ``cut`` blob answers break off in the middle."""

    def __init__(self) -> None:
        self.documents = {"1": (DOCKER_MANIFEST, MANIFEST), digest_of(MANIFEST): (DOCKER_MANIFEST, MANIFEST)}
        self.blobs = {digest_of(LAYER): LAYER, digest_of(CONFIG): CONFIG}
        self.cut = 0
        self.ranges = True
        self.token_requests: list[dict[str, str]] = []
        self.blob_requests: list[str] = []
        self.authority = ""

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/v2/", self._guarded(self._nothing))
        app.router.add_route("*", "/v2/app/manifests/{reference}", self._guarded(self._manifest))
        app.router.add_get("/v2/app/blobs/{digest}", self._guarded(self._redirect))
        app.router.add_get("/storage/{digest}", self._blob)
        app.router.add_route("*", "/token", self._token)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.authority = "{}:{}".format(*runner.addresses[0][:2])
        try:
            yield self.authority
        finally:
            await runner.cleanup()

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def check(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "")
            if given == "Bearer good":
                return await handler(request)
            error = ',error="insufficient_scope"' if given == "Bearer weak" else ""
            challenge = f'Bearer realm="http://{self.authority}/token",service="s",scope="x"{error}'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})

        return check

    async def _nothing(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def _token(self, request: web.Request) -> web.StreamResponse:
        body = {key: values[0] for key, values in parse_qs(await request.text()).items()}
        self.token_requests.append(dict(request.query) | body)
        known = "Basic " + base64.b64encode(b"u:p").decode()
        given = request.headers.get("Authorization")
        if given not in (None, known):
            errors = {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]}
            return web.json_response(errors, status=401)
        good = given == known or body.get("refresh_token") == "refresh"
        return web.json_response({"token": "good" if good else "weak"})

    async def _manifest(self, request: web.Request) -> web.StreamResponse:
        kind, content = self.documents[request.match_info["reference"]]
        return web.Response(body=content, content_type=kind)

    async def _redirect(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(
            f"http://localhost:{self.authority.split(':')[1]}/storage/{request.match_info['digest']}"
        )

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        assert "Authorization" not in request.headers, "the token must not go to another host"
        asked = request.headers.get("Range", "")
        self.blob_requests.append(asked)
        content = self.blobs[request.match_info["digest"]]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.ranges else 0
        answer = web.StreamResponse(status=206 if start else 200)
        answer.content_length = len(content) - start
        await answer.prepare(request)
        if self.cut:
            self.cut -= 1
            await answer.write(content[start : start + 700_000])
            assert request.transport is not None
            request.transport.close()
            return answer
        await answer.write(content[start:])
        return answer


class QuickClock(SystemClock):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def test_tokens() -> None:
    async def run() -> None:
        fake = TokenRegistry()
        async with fake.serve() as authority, registry() as client:
            name = parse(f"{authority}/app:1")
            assert await download(client, name, USER) == LAYER
            assert fake.token_requests == [{"service": "s", "scope": "repository:app:pull", "account": "u"}]
            fake.token_requests.clear()
            assert await download(client, name, AuthConfig(identitytoken="refresh")) == LAYER
            assert fake.token_requests[0]["grant_type"] == "refresh_token"
            assert await download(client, name, AuthConfig(registrytoken="good")) == LAYER
            with pytest.raises(NotFound) as error:
                await client.resolve(name, AMD64)
            assert str(error.value) == (
                f"pull access denied for {authority}/app, repository does not exist or may require 'docker login': "
                "denied: requested access to the resource is denied"
            )
            with pytest.raises(RegistryError, match="unauthorized: incorrect username or password"):
                await client.resolve(name, AMD64, AuthConfig(username="u", password="x"))

    asyncio.run(run())


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_taken_up_again(ranges: bool) -> None:
    async def run() -> None:
        fake = TokenRegistry()
        fake.cut, fake.ranges = 2, ranges
        async with fake.serve() as authority:
            client = Registry(config=RegistryConfig(), clock=QuickClock(), user_agent="test")
            assert await download(client, parse(f"{authority}/app:1"), USER) == LAYER
            assert len(fake.blob_requests) == 3
            assert [bool(asked) for asked in fake.blob_requests] == [False, True, True]
            fake.cut = 100
            fake.ranges = False
            with pytest.raises(Unavailable):
                await download(client, parse(f"{authority}/app:1"), USER)
            await client.close()

    asyncio.run(run())


def test_wrong_content_is_refused() -> None:
    async def run() -> None:
        fake = TokenRegistry()
        async with fake.serve() as authority, registry() as client:
            name = parse(f"{authority}/app:1")
            for wrong in (LAYER[:-1] + b"x", LAYER + b"x"):
                fake.blobs[digest_of(LAYER)] = wrong
                with pytest.raises(RegistryError, match="filesystem layer verification failed for digest sha256:"):
                    await download(client, name, USER)
            fake.documents[digest_of(MANIFEST)] = (DOCKER_MANIFEST, MANIFEST + b" ")
            with pytest.raises(RegistryError, match="manifest verification failed for digest"):
                await client.resolve(name.with_digest(digest_of(MANIFEST)), AMD64, USER)
            fake.documents["1"] = (OCI_INDEX, b"<html>")
            with pytest.raises(InvalidArgument, match="invalid manifest list"):
                await client.resolve(name, AMD64, USER)
            fake.documents["1"] = (OCI_MANIFEST, b"x" * (5 << 20))
            with pytest.raises(RegistryError, match="manifest 1 is larger than"):
                await client.resolve(name, AMD64, USER)

    asyncio.run(run())


def test_mirrors_come_first_and_dead_ones_are_passed_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with docker_registry(tmp_path) as authority, registry() as client:
            await publish(client, parse(f"{authority}/library/app:1"))
            config = RegistryConfig(mirrors=(f"http://127.0.0.1:{free_port()}", f"http://{authority}/"))
            async with registry(config) as mirrored:
                assert await download(mirrored, parse("app:1"), USER) == LAYER

    asyncio.run(run())
