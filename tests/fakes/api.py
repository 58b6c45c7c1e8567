"""A daemon without an engine behind the API: the real controls over a store in memory, everything else made up."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aiohttp import ClientSession, UnixConnector, web
from tests.fakes.clock import FakeClock

from shoal.aio.clock import SystemClock
from shoal.api.app import build_app
from shoal.api.backends import Controls, SwarmLogLine
from shoal.api.routes import networks, nodes, secrets, services, swarm, system, tasks
from shoal.api.server import ApiServer, Listener
from shoal.engine.events import Events
from shoal.errors import Conflict, NotFound, Unauthorized, Unavailable
from shoal.manager.control.cluster import ClusterControl
from shoal.manager.control.nodes import NodeControl
from shoal.manager.control.services import ServiceControl
from shoal.manager.control.tasks import TaskControl
from shoal.manager.found import FoundingRequest, found
from shoal.objects.cluster import ClusterSpec
from shoal.objects.container import EndpointSettings
from shoal.objects.results import LogQuery
from shoal.objects.service import Service
from shoal.objects.task import Task
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.store.tx import Tx
from shoal.version import API_VERSION, MIN_API_VERSION
from shoal.wire.docker.auth import AuthAnswer, AuthConfig
from shoal.wire.docker.networks import IPAM, NetworkAnswer, NetworkContainer, NetworkCreate, NetworkCreated
from shoal.wire.docker.swarm import RemoteManager, SwarmInfo, SwarmInit, SwarmJoin, TokenRotation
from shoal.wire.docker.system import Descriptor, DiskUsage, DistributionInspect, Info, Version

NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
SWARM_INIT = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "192.0.2.2", "Spec": {}}


class FakeSystem:
    """A machine of no properties."""

    def __init__(self, clock: FakeClock) -> None:
        self.events = Events(clock)
        self.asked: list[object] = []

    def version(self) -> Version:
        return Version(version="0.1.0", api_version=API_VERSION, min_api_version=MIN_API_VERSION, arch="amd64")

    async def info(self) -> Info:
        options = ["name=seccomp,profile=builtin"]
        return Info(id="I", name="vm", server_version="0.1.0", ncpu=2, security_options=options)

    async def disk_usage(self, kinds: Collection[str]) -> DiskUsage:
        self.asked.append(tuple(kinds))
        return DiskUsage(images=[] if "image" in kinds else None)

    async def authenticate(self, auth: AuthConfig) -> AuthAnswer:
        if auth.password != "right":
            raise Unauthorized("unauthorized: incorrect username or password")
        return AuthAnswer(status="Login Succeeded")

    async def distribution(self, ref: str, auth: AuthConfig | None) -> DistributionInspect:
        self.asked.append((ref, auth))
        return DistributionInspect(descriptor=Descriptor(media_type="m", digest="sha256:1", size=1))


class _Controls:
    """As the manager has them."""

    def __init__(self, store: Store, node_id: str) -> None:
        self.cluster = ClusterControl(store, SystemClock())
        self.nodes = NodeControl(store, node_id, SystemClock())
        self.services = ServiceControl(store)
        self.tasks = TaskControl(store)


class _Line(NamedTuple):
    stream: Literal["stdout", "stderr"]
    time: int
    data: bytes


class _SwarmLine(NamedTuple):
    line: _Line
    task: Task


class FakeSwarm:
    """One manager, no loops: services get no tasks but those that a test puts into ``store``."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._controls: _Controls | None = None
        self.store: Store | None = None
        self.node_id = ""
        self.init_request: SwarmInit | None = None
        self.log: list[tuple[Literal["stdout", "stderr"], str]] = []
        self.log_query: LogQuery | None = None
        self.log_error = ""

    def control(self) -> Controls:
        if self._controls is None:
            raise Unavailable(NO_MANAGER)
        return self._controls

    def info(self) -> SwarmInfo:
        if self._controls is None:
            return SwarmInfo()
        return SwarmInfo(
            node_id=self.node_id,
            node_addr="192.0.2.2",
            local_node_state="active",
            control_available=True,
            remote_managers=[RemoteManager(node_id=self.node_id, addr="192.0.2.2:2377")],
        )

    async def init(self, request: SwarmInit) -> str:
        self.init_request = request
        founding = found(FoundingRequest(advertise="192.0.2.2:2377", spec=request.spec), self._clock.now())
        store = await Store.open(backend=MemoryBackend(), clock=self._clock)

        def change(tx: Tx) -> None:
            for obj in founding.objects:
                tx.create(obj)

        await store.update(change)
        self.store, self.node_id = store, founding.node_id
        self._controls = _Controls(store, founding.node_id)
        return founding.node_id

    async def join(self, request: SwarmJoin) -> None:
        raise Unavailable("no manager there")

    async def leave(self, *, force: bool) -> None:
        if self._controls is None:
            raise Unavailable("This node is not part of a swarm")
        if not force:
            raise Unavailable("You are attempting to leave the swarm on a node that is participating as a manager.")
        self._controls = None

    async def update(self, spec: ClusterSpec, version: int, rotation: TokenRotation) -> None:
        if self._controls is None:
            raise Unavailable(NO_MANAGER)
        await self._controls.cluster.update(spec, version, rotation)

    async def unlock_key(self) -> str:
        return ""

    async def unlock(self, key: str) -> None:
        raise Conflict("swarm is not locked")

    async def logs(self, target: Service | Task, query: LogQuery) -> AsyncIterator[SwarmLogLine]:
        self.log_query = query
        assert self.store is not None
        task = target if isinstance(target, Task) else self.store.view.tasks_of_service(target.id)[0]

        async def lines() -> AsyncIterator[SwarmLogLine]:
            for number, (stream, text) in enumerate(self.log):
                yield _SwarmLine(_Line(stream, number, text.encode()), task)
            if self.log_error:
                raise Unavailable(self.log_error)

        return lines()


def a_network(name: str, **more: Any) -> NetworkAnswer:
    """A local bridge, unless ``more`` says otherwise."""
    fields: dict[str, Any] = {
        "id": name * 8, "created": "2026-01-01T00:00:00Z", "scope": "local", "driver": "bridge",
        "ipam": IPAM(config=[]), "containers": {}, "options": {}, "labels": {}, **more,
    }  # fmt: skip
    return NetworkAnswer(name=name, **fields)


class FakeNetworks:
    """Networks that are nothing but their names."""

    def __init__(self) -> None:
        self.networks = [a_network("bridge"), a_network("none", driver="null"), a_network("host", driver="host")]
        self.used: dict[str, dict[str, NetworkContainer]] = {}
        self.asked: list[object] = []

    async def in_use(self) -> Collection[str]:
        return self.used.keys()

    async def get(self, ref: str, *, scope: str, verbose: bool) -> NetworkAnswer:
        for network in self.networks:
            if ref in (network.name, network.id) and scope in ("", network.scope):
                return network
        raise NotFound(f"network {ref} not found")

    async def create(self, request: NetworkCreate) -> NetworkCreated:
        self.asked.append(request)
        self.networks.append(a_network(request.name, labels=request.labels or {}))
        return NetworkCreated(id=self.networks[-1].id)

    async def remove(self, ref: str) -> None:
        self.networks.remove(await self.get(ref, scope="", verbose=False))

    async def connect(self, ref: str, container: str, settings: EndpointSettings | None) -> None:
        self.asked.append((ref, container, settings))

    async def disconnect(self, ref: str, container: str, *, force: bool) -> None:
        self.asked.append((ref, container, force))

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> Sequence[str]:
        self.asked.append(filters)
        return []

    async def list(self) -> Sequence[NetworkAnswer]:
        return self.networks


class FakeDaemon:
    """All of them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.system = FakeSystem(self.clock)
        self.swarm = FakeSwarm(self.clock)
        self.networks = FakeNetworks()

    def routes(self) -> list[web.RouteDef]:
        """Every route that this daemon has."""
        return [
            *system.routes(self.system, self.swarm, self.clock),
            *swarm.routes(self.swarm),
            *nodes.routes(self.swarm),
            *services.routes(self.swarm),
            *tasks.routes(self.swarm),
            *secrets.routes(self.swarm),
            *networks.routes(self.networks),
        ]


@asynccontextmanager
async def client_of(routes: Sequence[web.RouteDef], folder: Path) -> AsyncIterator[ClientSession]:
    """A client of an application with these routes, served on a unix socket in ``folder``."""
    path = str(folder / "api.sock")
    server = ApiServer(app=build_app(routes, body_limit=1_000_000), listeners=[Listener("unix", path=path)])
    await server.start()
    try:
        async with ClientSession(base_url="http://docker", connector=UnixConnector(path)) as session:
            yield session
    finally:
        await server.stop()


@asynccontextmanager
async def daemon_with_client(
    folder: Path, *, in_swarm: bool = False
) -> AsyncIterator[tuple[FakeDaemon, ClientSession]]:
    """A fake daemon and its client; with ``in_swarm`` after ``swarm init``."""
    daemon = FakeDaemon()
    async with client_of(daemon.routes(), folder) as client:
        if in_swarm:
            async with client.post("/swarm/init", json=SWARM_INIT) as answer:
                assert answer.status == 200, await answer.text()
        yield daemon, client
