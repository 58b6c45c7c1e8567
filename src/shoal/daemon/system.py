"""The engine as a whole, for ``/info``, ``/version``, ``/system/df`` and their like."""

import asyncio
import os
import subprocess
from collections.abc import Collection
from contextlib import suppress

import msgspec

from shoal.aio.clock import Clock
from shoal.api.versions import parse_version
from shoal.container.cgroups import CgroupHost
from shoal.container.containerd.client import Containerd
from shoal.container.image.catalogue import Image
from shoal.container.reference import parse
from shoal.daemon.config import Config
from shoal.daemon.images import registry_auth
from shoal.engine.engine import Engine
from shoal.engine.events import Events
from shoal.objects.base import timestamp
from shoal.version import API_VERSION, MIN_API_VERSION, VERSION
from shoal.wire.docker.auth import AuthAnswer, AuthConfig
from shoal.wire.docker.containers import summary
from shoal.wire.docker.images import summary as image_summary
from shoal.wire.docker.system import (
    AddressPool,
    Commit,
    ComponentVersion,
    ContainerdInfo,
    ContainerdNamespaces,
    Descriptor,
    DiskUsage,
    DistributionInspect,
    IndexConfig,
    Info,
    OCIPlatform,
    RegistryConfig,
    Runtime,
    Version,
)

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class System:
    """See :class:`shoal.api.backends.SystemBackend`."""

    def __init__(
        self, *, engine: Engine, config: Config, clock: Clock, containerd: Containerd, socket: str, cgroup: CgroupHost
    ) -> None:
        self._engine = engine
        self._config = config
        self._clock = clock
        self._containerd = containerd
        self._socket = socket
        self._cgroup = cgroup
        self._containerd_version = ""
        self._runc_version = ""

    @property
    def events(self) -> Events:
        return self._engine.events

    async def look(self) -> None:
        """Ask the programs that we lean on for their versions, once."""
        self._containerd_version = await self._containerd.version()
        self._runc_version = await asyncio.to_thread(_runc_version)

    def version(self) -> Version:
        facts = self._engine.facts
        architecture = _ARCHITECTURES.get(facts.machine, facts.machine)
        details = {
            "ApiVersion": API_VERSION,
            "Arch": architecture,
            "BuildTime": "",
            "Experimental": "false",
            "GitCommit": "",
            "GoVersion": "",
            "KernelVersion": facts.kernel,
            "MinAPIVersion": MIN_API_VERSION,
            "Os": "linux",
        }
        return Version(
            components=[
                ComponentVersion(name="Engine", version=VERSION, details=details),
                ComponentVersion(name="containerd", version=self._containerd_version, details={"GitCommit": ""}),
                ComponentVersion(name="runc", version=self._runc_version, details={"GitCommit": ""}),
            ],
            version=VERSION,
            api_version=API_VERSION,
            min_api_version=MIN_API_VERSION,
            arch=architecture,
            kernel_version=facts.kernel,
        )

    async def info(self) -> Info:
        engine, facts, config = self._engine, self._engine.facts, self._config
        states = [container.state for container in engine.records.all()]
        images = await engine.images.images()
        return Info(
            id=engine.engine_id,
            containers=len(states),
            containers_running=sum(s.running and not s.paused for s in states),
            containers_paused=sum(s.paused for s in states),
            containers_stopped=sum(not s.running for s in states),
            images=len(images),
            driver_status=[("driver-type", "io.containerd.snapshotter.v1")],
            docker_root_dir=str(config.data_root),
            debug=config.debug or config.log_level == "debug",
            nfd=len(os.listdir("/proc/self/fd")),
            ngoroutines=len(asyncio.all_tasks()),
            system_time=timestamp(self._clock.now()),
            cgroup_version=str(self._cgroup.version),
            oom_kill_disable=self._cgroup.version == 1,
            nevents_listener=engine.events.listeners,
            kernel_version=facts.kernel,
            operating_system=facts.system,
            os_version=facts.system_version,
            architecture=facts.machine,
            ncpu=facts.cpus,
            mem_total=facts.memory,
            registry_config=RegistryConfig(
                index_configs={
                    "docker.io": IndexConfig(name="docker.io", mirrors=list(config.registry_mirrors), official=True)
                },
                mirrors=list(config.registry_mirrors),
            ),
            name=facts.hostname,
            labels=list(config.labels),
            server_version=VERSION,
            runtimes={name: Runtime(path="runc") for name in ("io.containerd.runc.v2", "runc")},
            containerd_commit=Commit(id=self._containerd_version),
            runc_commit=Commit(id=self._runc_version),
            security_options=["name=seccomp,profile=builtin"],
            default_address_pools=[AddressPool(base=base, size=size) for base, size in config.default_address_pools],
            containerd=ContainerdInfo(address=self._socket, namespaces=ContainerdNamespaces(containers="shoal")),
        )

    async def disk_usage(self, kinds: Collection[str]) -> DiskUsage:
        engine, now = self._engine, self._clock.now()
        images = await engine.images.images() if "image" in kinds else []
        containers = engine.records.all()
        sized: list[msgspec.Struct] = []
        if "container" in kinds:
            for container in containers:
                with suppress(Exception):
                    sized.append(summary(container, now=now, sizes=await engine.sizes.of(container.id)))
        used = {image.id: sum(c.image_id == image.id for c in containers) for image in images}
        return DiskUsage(
            layers_size=await engine.images.layers_size() if "image" in kinds else 0,
            images=[_counted(image, used[image.id]) for image in images] if "image" in kinds else None,
            containers=sized if "container" in kinds else None,
            volumes=list(await engine.volumes.usage()) if "volume" in kinds else None,
            build_cache=[] if "build-cache" in kinds else None,
        )

    async def authenticate(self, auth: AuthConfig) -> AuthAnswer:
        await self._engine.images.login(registry_auth(auth))
        return AuthAnswer(status="Login Succeeded")

    async def distribution(self, ref: str, auth: AuthConfig | None) -> DistributionInspect:
        lookup = self._engine.images.distribution(parse(ref), auth=registry_auth(auth))
        # ``docker service create`` asks for the digest first: an image that is here must not wait for a registry.
        found = await self._engine.node_images.unless_here(ref, lookup)
        return DistributionInspect(
            descriptor=Descriptor(
                media_type=found.descriptor.media_type, digest=found.descriptor.digest, size=found.descriptor.size
            ),
            platforms=[OCIPlatform(architecture=p.architecture, os=p.os, variant=p.variant) for p in found.platforms],
        )


def _counted(image: Image, containers: int) -> msgspec.Struct:
    return msgspec.structs.replace(image_summary(image, parse_version(API_VERSION)), containers=containers)


def _runc_version() -> str:
    try:
        words = subprocess.run(["runc", "--version"], capture_output=True, text=True, check=False).stdout.split()
    except OSError:
        return ""
    return words[2] if len(words) > 2 else ""
