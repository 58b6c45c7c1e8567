"""A node's daemon as a whole: the order in which everything starts and ends."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.api.app import Routes, build_app
from shoal.api.routes import (
    containers,
    exec,
    images,
    networks,
    nodes,
    secrets,
    services,
    state,
    swarm,
    system,
    tasks,
    topology,
    volumes,
)
from shoal.api.routes import metrics as metrics_routes
from shoal.api.server import ApiServer, Listener, parse_listener
from shoal.container import cgroups
from shoal.container.containerd.strays import StrayShims
from shoal.daemon import membership, metrics
from shoal.daemon.build import Node, build_node
from shoal.daemon.config import Config
from shoal.daemon.containers import ContainerParts
from shoal.daemon.guard import NetworkGuard
from shoal.daemon.images import Images
from shoal.daemon.networks import Networks
from shoal.daemon.recover import check_presence
from shoal.daemon.state import SwarmState
from shoal.daemon.swarm import Swarm
from shoal.daemon.system import System
from shoal.errors import ShoalError
from shoal.localdb.localdb import LocalDB
from shoal.network.describe import parts
from shoal.network.node import NodeNetwork
from shoal.observe.topology import read_topology
from shoal.pki import contexts

_log = logging.getLogger(__name__)
_OWN_SOCKET = "/run/shoal/shoal.sock"
_DOCKER_SOCKET = "/var/run/docker.sock"
# Where older texts look for the namespaces.
_DOCKER_NETNS = Path("/var/run/docker/netns")


class NodeDaemon:
    """Everything that one shoald is."""

    def __init__(self, *, config: Config, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._node: Node | None = None
        self._swarm: Swarm | None = None
        self._server: ApiServer | None = None
        self._metrics: ApiServer | None = None
        # Says, across restarts, that the link at _DOCKER_NETNS is this daemon's.
        self._link_mark = config.exec_root / "netns-link"
        self._guard: NetworkGuard | None = None
        self._strays: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> list[str]:
        """Where the API is served."""
        return [str(address) for address in self._server.addresses] if self._server else []

    def reload(self) -> None:
        """SIGHUP: nothing of the configuration can be changed while running yet."""
        _log.info("nothing to reload: restart shoald to change its configuration, containers keep running")

    async def start(self) -> None:
        """Take over what runs, serve the API. Raises ShoalError when that cannot be."""
        config, clock = self._config, self._clock
        # What is wrong with these is known before anything has been started.
        listeners, tls = self._listeners(), self._tls()
        prefer_offline = os.environ.get("DOCKER_SERVICE_PREFER_OFFLINE_IMAGE", "") in ("1", "true")
        # First what must be trusted: nothing has been started or touched yet.
        await asyncio.to_thread(check_presence, config.data_root)
        db = await LocalDB.open(config.data_root / "node.db")
        try:
            await asyncio.to_thread(membership.read, config.data_root / "swarm")
            self._node = node = await build_node(config, clock, db, prefer_offline=prefer_offline)
        except BaseException:
            await db.close()
            raise
        engine = node.engine
        self._swarm = Swarm(
            folder=config.data_root / "swarm",
            data_root=config.data_root,
            exec_root=config.exec_root,
            store=config.store,
            engine=engine,
            clock=clock,
        )
        engine.lifecycle.attacher = self._swarm
        node.names.swarm = self._swarm
        await engine.declare()
        await engine.local_networks.load(bip=config.bip, bridge=config.bridge, mtu=config.mtu)
        await self._swarm.declare()
        await engine.networks.start()
        await engine.lifecycle.restore()
        await engine.execs.restore()
        await asyncio.to_thread(_link_namespaces, self._link_mark)
        await self._swarm.start()
        self._guard = NetworkGuard(reconciler=node.reconciler, clock=clock)
        self._guard.start()
        strays = StrayShims(
            containerd=node.client,
            cgroup_parent=config.cgroup_parent,
            is_busy=engine.lifecycle.is_being_changed,
            clock=clock,
        )
        self._strays = spawn(strays.run(), name="stray shims")
        try:
            await self._serve(node, listeners, tls)
        except BaseException:
            await self.stop()
            raise

    async def _serve(self, node: Node, listeners: Sequence[Listener], tls: ssl.SSLContext | None) -> None:
        config = self._config
        for listener in listeners:
            if listener.scheme == "tcp" and not config.tls.verify:
                _log.warning(
                    "whoever can reach %s:%d has this machine as root has it: use --tlsverify",
                    listener.host,
                    listener.port,
                )
        self._server = ApiServer(
            app=build_app(await self._routes(node), root=config.data_root),
            listeners=listeners,
            tls=tls,
            group=config.group,
        )
        await self._server.start()
        if config.metrics_address:
            self._metrics = ApiServer(
                app=build_app(metrics_routes.routes(self._figures)),
                listeners=[parse_listener(f"tcp://{config.metrics_address}")],
            )
            await self._metrics.start()

    def _figures(self) -> str:
        assert self._node is not None and self._swarm is not None and self._guard is not None
        return metrics.text(self._node.engine, self._swarm, self._guard)

    async def _routes(self, node: Node) -> Routes:
        assert self._swarm is not None
        address = self._config.containerd or str(node.containerd.socket if node.containerd else "")
        about = System(
            engine=node.engine,
            config=self._config,
            clock=self._clock,
            containerd=node.client,
            socket=address,
            cgroup=cgroups.detect(),
        )
        await about.look()
        nets = Networks(engine=node.engine, attachments=node.engine.attachments, swarm=self._swarm, clock=self._clock)
        engine = node.engine
        image_backend = Images(store=engine.images, records=engine.records, pruner=engine.image_pruner)
        return [
            *system.routes(about, self._swarm, self._clock),
            *swarm.routes(self._swarm),
            *state.routes(SwarmState(self._swarm, spool=self._config.data_root / "tmp", clock=self._clock)),
            *nodes.routes(self._swarm),
            *services.routes(self._swarm),
            *tasks.routes(self._swarm),
            *secrets.routes(self._swarm),
            *networks.routes(nets),
            *containers.routes(ContainerParts(engine), self._clock),
            *exec.routes(engine.execs),
            *images.routes(image_backend),
            *volumes.routes(engine.volumes),
            *topology.routes(lambda: read_topology(node.reconciler)),
        ]

    def _listeners(self) -> list[Listener]:
        if self._config.hosts:
            return [parse_listener(text, tls=self._config.tls.enabled) for text in self._config.hosts]
        found = [parse_listener(f"unix://{_OWN_SOCKET}")]
        if not _answers(Path(_DOCKER_SOCKET)):
            found.append(parse_listener(f"unix://{_DOCKER_SOCKET}"))
        return found

    def _tls(self) -> ssl.SSLContext | None:
        tls = self._config.tls
        if not tls.enabled:
            return None
        return contexts.api_server(cert=tls.cert, key=tls.key, ca=tls.ca if tls.verify else None, verify=tls.verify)

    async def stop(self) -> None:
        """End in order. Containers that run, and the networks of a swarm, stay; where there are none, nothing does."""
        if self._node is not None:
            # Whoever listens would be waited for; what happens from now on is there when they come back.
            self._node.engine.events.close()
        if self._swarm is not None:
            self._swarm.end_logs()
        for server in (self._server, self._metrics):
            if server is not None:
                await server.stop()
        await cancel(self._strays)
        if self._guard is not None:
            await self._guard.stop()
        if self._swarm is not None:
            await self._swarm.stop()
        if (node := self._node) is None:
            return
        engine = node.engine
        await engine.health.stop()
        await engine.execs.stop_watching()
        await engine.lifecycle.stop_watching()
        idle = engine.is_idle and (self._swarm is None or self._swarm.membership is None)
        if idle:
            with suppress(ShoalError):
                await node.reconciler.apply(NodeNetwork(), parts(await engine.networks.description()))
            await asyncio.to_thread(_unlink_namespaces, self._link_mark)
            await node.keeper.stop()
        else:
            await node.keeper.leave()
        await node.reconciler.close()
        await node.registry.close()
        engine.streams.close()
        await engine.db.close()
        await node.client.close()
        if node.containerd is not None:
            await (node.containerd.stop() if idle else node.containerd.detach())
        if idle:
            await asyncio.to_thread(cgroups.remove_empty, self._config.cgroup_parent)


def _answers(path: Path) -> bool:
    """Whether somebody serves that socket already."""
    return path.exists() and not _is_stale(path)


def _is_stale(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return True
    return False


def _link_namespaces(mark: Path) -> None:
    """Have /var/run/docker/netns lead to our namespaces, unless there is something already."""
    if _DOCKER_NETNS.exists() or _DOCKER_NETNS.is_symlink():
        return
    mark.touch()
    _DOCKER_NETNS.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    _DOCKER_NETNS.symlink_to("/run/netns")


def _unlink_namespaces(mark: Path) -> None:
    if mark.exists():
        mark.unlink()
        _DOCKER_NETNS.unlink(missing_ok=True)
        with suppress(OSError):
            _DOCKER_NETNS.parent.rmdir()
