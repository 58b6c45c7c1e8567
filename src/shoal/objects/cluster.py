"""The swarm itself (Engine API, ``Swarm``): settings that all nodes share, and what only managers know."""

from typing import Any

import msgspec

from shoal.objects.base import Object
from shoal.objects.ids import ClusterId
from shoal.objects.meta import Driver, Version
from shoal.objects.node import TLSInfo


class OrchestrationConfig(Object, frozen=True):
    task_history_retention_limit: int | None = None


class RaftConfig(Object, frozen=True):
    """Kept because clients send and expect it; Shoal's store is no Raft log, and nothing reads it."""

    snapshot_interval: int | None = None
    keep_old_snapshots: int | None = None
    log_entries_for_slow_followers: int | None = None
    election_tick: int | None = None
    heartbeat_tick: int | None = None


class DispatcherConfig(Object, frozen=True):
    """``heartbeat_period`` in nanoseconds."""

    heartbeat_period: int | None = None


class CAConfig(Object, frozen=True):
    """``node_cert_expiry`` in nanoseconds."""

    node_cert_expiry: int | None = None
    external_cas: list[dict[str, Any]] | None = msgspec.field(default=None, name="ExternalCAs")
    signing_ca_cert: str | None = msgspec.field(default=None, name="SigningCACert")
    signing_ca_key: str | None = msgspec.field(default=None, name="SigningCAKey")
    force_rotate: int | None = None


class EncryptionConfig(Object, frozen=True):
    auto_lock_managers: bool | None = None


class TaskDefaults(Object, frozen=True):
    log_driver: Driver | None = None


class ClusterSpec(Object, frozen=True):
    name: str = ""
    labels: dict[str, str] | None = None
    orchestration: OrchestrationConfig = OrchestrationConfig()
    raft: RaftConfig = RaftConfig()
    dispatcher: DispatcherConfig = DispatcherConfig()
    ca_config: CAConfig = CAConfig()
    task_defaults: TaskDefaults = TaskDefaults()
    encryption_config: EncryptionConfig = EncryptionConfig()


class JoinTokens(Object, frozen=True):
    worker: str = ""
    manager: str = ""


class RootRotation(Object, frozen=True):
    """The root that is to follow the present one (PEM), its key, and whether it issues the nodes' certificates already:
    all of them trust it by then. ``others`` are roots of earlier rotations that came to no end: nodes may still have
    certificates of theirs. The keys never leave the managers."""

    certificate: str
    key: str
    issues: bool = False
    others: list[str] = msgspec.field(default_factory=list)


class Cluster(Object, frozen=True):
    """There is one in every store. ``root_ca_key`` never leaves the managers; ``removed_nodes`` has, by their ids,
    until when nodes that were removed can have a certificate. ``epoch`` goes up when the state is put back to an older
    one on purpose. ``tls_info`` has the present root, and who issues certificates once a ``rotation`` is over;
    ``rotations`` counts those that were begun."""

    id: ClusterId
    version: Version = Version()
    created_at: str = ""
    updated_at: str = ""
    spec: ClusterSpec = ClusterSpec()
    tls_info: TLSInfo | None = None
    rotation: RootRotation | None = None
    rotations: int = 0
    default_addr_pool: list[str] | None = None
    subnet_size: int = 24
    data_path_port: int = 4789
    join_tokens: JoinTokens = JoinTokens()
    root_ca_key: str = ""
    unlock_key: str = ""
    epoch: int = 0
    removed_nodes: dict[str, str] = msgspec.field(default_factory=dict)
