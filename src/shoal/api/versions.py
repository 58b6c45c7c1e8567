"""Engine API versions: which one a request speaks, and what clients of older ones see otherwise.

A path without a version means the newest. Versions compare as ``(major, minor)``.
"""

from typing import Final

from aiohttp import web
from msgspec.structs import replace

from shoal.errors import InvalidArgument
from shoal.objects.service import ServiceSpec
from shoal.version import API_VERSION, MIN_API_VERSION
from shoal.wire.docker.swarm import SwarmInit
from shoal.wire.docker.system import DiskUsage, Info

ApiVersion = tuple[int, int]

VERSION_KEY: Final[web.RequestKey[ApiVersion]] = web.RequestKey("api_version", tuple[int, int])


def parse_version(text: str) -> ApiVersion:
    """``1.41`` as (1, 41), ``1`` as (1, 0)."""
    major, _, minor = text.partition(".")
    return int(major or 0), int(minor.partition(".")[0] or 0)


_OLDEST: Final = parse_version(MIN_API_VERSION)
NEWEST: Final = parse_version(API_VERSION)


def check_version(text: str) -> ApiVersion:
    """The version that a path begins with. Raises InvalidArgument, in Docker's words, for one that is not spoken."""
    version = parse_version(text)
    if version < _OLDEST:
        raise InvalidArgument(
            f"client version {text} is too old. Minimum supported API version is {MIN_API_VERSION}, "
            "please upgrade your client to a newer version"
        )
    if version > NEWEST:
        raise InvalidArgument(f"client version {text} is too new. Maximum supported API version is {API_VERSION}")
    return version


def version_of(request: web.Request) -> ApiVersion:
    """The version that the request speaks."""
    version: ApiVersion = request.get(VERSION_KEY, NEWEST)
    return version


def without_newer_init_options(request: web.Request, asked: SwarmInit) -> SwarmInit:
    """What ``/swarm/init`` was asked for, less what the client's version did not know yet (Docker ignores it)."""
    version = version_of(request)
    if version < (1, 39):
        asked = replace(asked, default_addr_pool=None, subnet_size=0)
    if version < (1, 40):
        asked = replace(asked, data_path_port=0)
    return asked


def without_newer_service_options(request: web.Request, spec: ServiceSpec) -> ServiceSpec:
    """A service's spec, less what the client's version did not know yet (Docker ignores it)."""
    version = version_of(request)
    template = spec.task_template
    container, placement = template.container_spec, template.placement
    if version < (1, 40):
        container = container and replace(container, sysctls=None)
        placement = placement and replace(placement, max_replicas=None)
    if version < (1, 41):
        container = container and replace(container, capability_add=None, capability_drop=None, ulimits=None)
        spec = replace(spec, mode=spec.mode and replace(spec.mode, replicated_job=None, global_job=None))
    return replace(spec, task_template=replace(template, container_spec=container, placement=placement))


def info_answer(request: web.Request, info: Info) -> Info:
    """``/info`` in the client's version: the security options were bare words once."""
    version = version_of(request)
    if version < (1, 25):
        bare = [option.split(",")[0].removeprefix("name=") for option in info.security_options]
        info = replace(info, security_options=bare)
    if version < (1, 49):
        info = replace(info, firewall_backend=None)
    if version < (1, 50):
        # Nothing here needs br_netfilter, but clients of that time warn their users where it is off.
        info = replace(info, bridge_nf_iptables=True, bridge_nf_ip6tables=True)
    return info


def disk_usage_answer(request: web.Request, usage: DiskUsage) -> DiskUsage:
    """``/system/df`` in the client's version: the builder's total was told apart once."""
    return replace(usage, builder_size=0) if version_of(request) < (1, 42) else usage
