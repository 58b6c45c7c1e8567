"""Founding a swarm: the objects that a new store begins with, and the first manager's certificate."""

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime

from shoal.errors import InvalidArgument
from shoal.manager.cluster import authority, cert_validity, host_of, trust_bundle
from shoal.manager.control.cluster import validate_spec
from shoal.objects.cluster import (
    CAConfig,
    Cluster,
    ClusterSpec,
    DispatcherConfig,
    JoinTokens,
    OrchestrationConfig,
    RaftConfig,
)
from shoal.objects.defaults import HEARTBEAT_NANOSECONDS, NODE_CERT_NANOSECONDS, TASK_HISTORY
from shoal.objects.ids import ClusterId, NetworkId, NodeId, swarm_id
from shoal.objects.meta import Driver
from shoal.objects.network import IPAMOptions, Network, NetworkSpec
from shoal.objects.node import ManagerStatus, Node, NodeSpec, NodeStatus
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.files import NodeFiles
from shoal.pki.identity import MANAGER, NodeIdentity, tls_info
from shoal.pki.tokens import make_token
from shoal.store.tables import Stored

DEFAULT_SPEC = ClusterSpec(
    name="default",
    labels={},
    orchestration=OrchestrationConfig(task_history_retention_limit=TASK_HISTORY),
    raft=RaftConfig(
        snapshot_interval=10000,
        keep_old_snapshots=0,
        log_entries_for_slow_followers=500,
        election_tick=10,
        heartbeat_tick=1,
    ),
    dispatcher=DispatcherConfig(heartbeat_period=HEARTBEAT_NANOSECONDS),
    ca_config=CAConfig(node_cert_expiry=NODE_CERT_NANOSECONDS),
)


@dataclass(frozen=True)
class FoundingRequest:
    """What ``swarm init`` was asked for; ``advertise`` is ``address:port``."""

    advertise: str
    availability: str = "active"
    spec: ClusterSpec = field(default_factory=ClusterSpec)
    default_addr_pool: tuple[str, ...] = ()
    subnet_size: int = 24
    data_path_port: int = 4789


@dataclass(frozen=True)
class Founding:
    """What a new swarm consists of."""

    node_id: NodeId
    files: NodeFiles
    objects: list[Stored]


def found(asked: FoundingRequest, now: datetime) -> Founding:
    """A new swarm with one manager. Raises InvalidArgument for settings that can't be."""
    _check_pools(asked)
    spec = _filled(asked.spec)
    validate_spec(spec)
    if spec.ca_config.signing_ca_cert or spec.ca_config.signing_ca_key:
        raise InvalidArgument(
            "a swarm begins with a root certificate of its own: docker swarm ca --rotate puts another in its place"
        )
    cluster_id, node_id = ClusterId(swarm_id()), NodeId(swarm_id())
    root = RootCA.create(now)
    cluster = Cluster(
        id=cluster_id,
        spec=spec,
        tls_info=tls_info(root.certificate),
        default_addr_pool=list(asked.default_addr_pool) or None,
        subnet_size=asked.subnet_size,
        data_path_port=asked.data_path_port,
        join_tokens=JoinTokens(worker=str(make_token(root.certificate)), manager=str(make_token(root.certificate))),
        root_ca_key=root.key.decode(),
    )
    node = first_node(node_id, asked.advertise, asked.availability)
    return Founding(
        node_id=node_id, files=issue(cluster, node_id, asked.advertise, now), objects=[cluster, node, ingress_network()]
    )


def first_node(node_id: NodeId, advertise: str, availability: str = "active") -> Node:
    """A manager that is the only one, before its agent has told of its machine."""
    return Node(
        id=node_id,
        spec=NodeSpec(labels={}, role="manager", availability=availability),
        status=NodeStatus(state="unknown"),
        manager_status=ManagerStatus(leader=True, reachability="reachable", addr=advertise),
    )


def issue(cluster: Cluster, node_id: NodeId, advertise: str, now: datetime) -> NodeFiles:
    """The key and the certificate of a manager that is reached at ``advertise``, by the swarm's own authority. Raises
    InvalidArgument for one that is none."""
    root, key = authority(cluster), new_key()
    identity = NodeIdentity(node_id=node_id, role=MANAGER, cluster_id=cluster.id)
    addresses = [host_of(advertise)]
    certificate = root.sign(request(key), identity, now, cert_validity(cluster), addresses=addresses)
    return NodeFiles(root=trust_bundle(cluster).encode(), certificate=certificate, key=key)


def ingress_network() -> Network:
    """The routing mesh's network as a swarm has it from the start."""
    return Network(
        id=NetworkId(swarm_id()),
        spec=NetworkSpec(
            name="ingress",
            labels={},
            driver_configuration=Driver(),
            ingress=True,
            ipam_options=IPAMOptions(driver=Driver()),
            scope="swarm",
        ),
    )


def _filled(spec: ClusterSpec) -> ClusterSpec:
    """The default for each part that the request leaves out; swarms are always called ``default``."""
    dispatcher, ca = spec.dispatcher, spec.ca_config
    return ClusterSpec(
        name="default",
        labels=spec.labels or {},
        orchestration=spec.orchestration
        if spec.orchestration.task_history_retention_limit is not None
        else DEFAULT_SPEC.orchestration,
        raft=spec.raft if spec.raft.snapshot_interval else DEFAULT_SPEC.raft,
        dispatcher=dispatcher if dispatcher.heartbeat_period else DEFAULT_SPEC.dispatcher,
        ca_config=ca if ca.node_cert_expiry else DEFAULT_SPEC.ca_config,
        task_defaults=spec.task_defaults,
        encryption_config=spec.encryption_config,
    )


def _check_pools(asked: FoundingRequest) -> None:
    for text in asked.default_addr_pool:
        try:
            pool = ipaddress.ip_network(text)
        except ValueError as error:
            raise InvalidArgument(f"invalid default address pool {text}: {error}") from error
        if not pool.prefixlen <= asked.subnet_size <= pool.max_prefixlen - 2:
            raise InvalidArgument(f'invalid CIDR: "{text}". Subnet size is too small for pool: {asked.subnet_size}')
    if not (asked.data_path_port == 0 or 1024 <= asked.data_path_port <= 49151):
        raise InvalidArgument("invalid data path port: it must be between 1024 and 49151")
