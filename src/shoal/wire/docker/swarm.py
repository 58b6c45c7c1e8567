"""The swarm: what ``init`` and ``join`` are asked, and what ``/swarm`` and ``/info`` tell of it."""

from dataclasses import dataclass

import msgspec

from shoal.objects.base import Object
from shoal.objects.cluster import ClusterSpec, JoinTokens
from shoal.objects.meta import Version
from shoal.objects.node import TLSInfo


class SwarmInit(Object, frozen=True):
    """Addresses are ``address:port``, an interface's name in place of the address, or empty for the default."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    data_path_port: int = 0
    default_addr_pool: list[str] | None = None
    subnet_size: int = 0
    force_new_cluster: bool = False
    spec: ClusterSpec = ClusterSpec()
    auto_lock_managers: bool = False
    availability: str = ""


class SwarmJoin(Object, frozen=True):
    """``remote_addrs`` are managers to ask."""

    listen_addr: str = ""
    advertise_addr: str = ""
    data_path_addr: str = ""
    remote_addrs: list[str] | None = None
    join_token: str = ""
    availability: str = ""


class SwarmUnlock(Object, frozen=True, omit_defaults=False):
    """The key that opens a locked manager; also the answer to the question for it."""

    unlock_key: str = ""


@dataclass(frozen=True)
class TokenRotation:
    """Which secrets an update of the swarm is to make anew."""

    worker_token: bool = False
    manager_token: bool = False
    unlock_key: bool = False


class ClusterInfo(Object, frozen=True, omit_defaults=False):
    """The swarm as any client may see it."""

    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: ClusterSpec
    tls_info: TLSInfo | None
    root_rotation_in_progress: bool
    default_addr_pool: list[str] | None
    subnet_size: int
    data_path_port: int


class Swarm(ClusterInfo, frozen=True):
    """The same with the tokens that let nodes join."""

    join_tokens: JoinTokens


class StateImported(Object, frozen=True, omit_defaults=False):
    """Which swarm was founded again, of what moment, with how many objects."""

    cluster_id: str
    node_id: str
    revision: int
    created: str
    objects: int


class RemoteManager(Object, frozen=True, omit_defaults=False):
    node_id: str
    addr: str


class SwarmInfo(Object, frozen=True, omit_defaults=False):
    """This node's place in a swarm: ``local_node_state`` is inactive, pending, active, error or locked.

    ``nodes``, ``managers`` and ``cluster`` are known to managers only; the API fills them in.
    """

    node_id: str = ""
    node_addr: str = ""
    local_node_state: str = "inactive"
    control_available: bool = False
    error: str = ""
    remote_managers: list[RemoteManager] | None = None
    nodes: int | msgspec.UnsetType = msgspec.UNSET
    managers: int | msgspec.UnsetType = msgspec.UNSET
    cluster: ClusterInfo | msgspec.UnsetType = msgspec.UNSET
