"""The swarm's authority at work: who comes with a join token becomes a node, who is one gets its certificate renewed.

The secret of a token says as what a machine comes. A node that was removed is remembered until its last certificate has
ended, so that it is refused by name rather than taken for somebody whom the manager has forgotten.
"""

import ipaddress
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.errors import Conflict, FailedPrecondition, Forbidden, InvalidArgument
from shoal.manager.cluster import (
    authority,
    cert_validity,
    host_of,
    present_authority,
    the_cluster,
    trust_bundle,
    trust_root,
)
from shoal.objects.base import parse_time, timestamp
from shoal.objects.cluster import Cluster
from shoal.objects.defaults import LEAST_MTU, MOST_PORT
from shoal.objects.ids import NodeId, swarm_id
from shoal.objects.node import ManagerStatus, Node, NodeSpec, NodeStatus
from shoal.pki.authority import NODE_VALIDITY
from shoal.pki.identity import MANAGER, WORKER, NodeIdentity
from shoal.pki.tokens import parse_token, same_token
from shoal.store.store import Store
from shoal.store.tx import Tx, View
from shoal.wire.admission import Admitted, JoinRequest, RenewalRequest, Renewed, TrustRoot

_INVALID_TOKEN = (
    "rpc error: code = InvalidArgument desc = A valid join token is necessary to join this cluster: "
    "this one is not, or not any more (docker swarm join-token shows the present ones on a manager)"
)


class Admission:
    """Admits nodes to the swarm of a store, and renews their certificates. ``check_more`` raises FailedPrecondition
    where this manager could not share the state with one that has that kind of place for it."""

    def __init__(self, store: Store, clock: Clock, *, check_more: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._check_more = check_more

    def root(self) -> TrustRoot:
        """The swarm's root certificate, and the manager's clock."""
        cluster = the_cluster(self._store.view)
        root, bundle, now = trust_root(cluster), trust_bundle(cluster), timestamp(self._clock.now())
        if bundle == root:
            return TrustRoot(certificate=root, now=now)
        voucher = b64encode(present_authority(cluster).vouch(bundle.encode())).decode()
        return TrustRoot(certificate=root, now=now, bundle=bundle, voucher=voucher)

    async def join(self, asked: JoinRequest) -> Admitted:
        """Make a node of who asks. Raises InvalidArgument for a token that is none of this swarm's, Conflict for an
        address that another node has."""
        now = self._clock.now()

        def change(tx: Tx) -> Admitted:
            cluster = the_cluster(tx)
            role = _role(cluster, asked.token)
            if role == MANAGER:
                if asked.trouble:
                    raise FailedPrecondition(f"{asked.hostname} cannot be a manager: {asked.trouble}")
                self._check_more(asked.store)
                _check_advertised(tx, asked.advertise)
            if asked.availability not in ("active", "pause", "drain"):
                raise InvalidArgument(f'invalid Availability: "{asked.availability}"')
            check_tunnel(asked.addr, tx)
            _check_address(tx, asked)
            node_id = NodeId(swarm_id())
            status = ManagerStatus(reachability="unknown", addr=asked.advertise) if role == MANAGER else None
            node = Node(
                id=node_id,
                spec=NodeSpec(labels={}, role=role, availability=asked.availability),
                status=NodeStatus(state="unknown", addr=asked.addr),
                manager_status=status,
            )
            certificate = _sign(cluster, asked.csr, node, now)
            tx.create(node)
            return Admitted(node_id=node_id, certificate=certificate, role=role, bundle=trust_bundle(cluster))

        return await self._store.update(change)

    def check_manager(self, identity: NodeIdentity) -> None:
        """Raise Forbidden for a node that is no manager, nor on its way to be one or to be none."""
        node = member(self._store.view, identity.node_id)
        if node.spec.role != MANAGER and node.manager_status is None:
            raise Forbidden(f"node {node.id} is no manager any more")

    async def renew(self, identity: NodeIdentity, asked: RenewalRequest) -> Renewed:
        """A new certificate for a node, with the role that it has by now; who is to be a manager says where it is
        reached as one. Raises Forbidden for one that is no member."""

        def change(tx: Tx) -> Renewed:
            node = member(tx, identity.node_id)
            if node.spec.role == MANAGER and node.manager_status is None and asked.advertise:
                _check_advertised(tx, asked.advertise)
                node = replace(node, manager_status=ManagerStatus(reachability="unknown", addr=asked.advertise))
                tx.update(node)
            cluster = the_cluster(tx)
            return Renewed(certificate=_sign(cluster, asked.csr, node, self._clock.now()), root=trust_bundle(cluster))

        return await self._store.update(change)


def member(view: View, node_id: str) -> Node:
    """The node of that id. Raises Forbidden for one that is not, or not any longer."""
    node = view.get(Node, node_id)
    if node is not None:
        return node
    if node_id in the_cluster(view).removed_nodes:
        raise Removed(f"node {node_id} was removed from this swarm: leave it here, and join again if it shall be back")
    raise Forbidden(f"node {node_id} is not a member of this swarm, as far as this manager knows")


class Removed(Forbidden):
    """The node was taken out of the swarm, on purpose."""


def detach_all(tx: Tx, node_id: str) -> None:
    """The node is gone, and with it all its plain containers: their addresses and names are free."""
    for task in tx.tasks_of_node(node_id):
        if task.spec.network_attachment_spec is not None:
            tx.delete(task)


def note_removal(tx: Tx, node_id: str, now: datetime) -> None:
    """Remember a removed node for as long as it can have a certificate."""
    cluster = the_cluster(tx)
    # Its certificate may be of a time when they held for longer.
    until = timestamp(now + max(cert_validity(cluster), NODE_VALIDITY))
    kept = {key: ends for key, ends in cluster.removed_nodes.items() if parse_time(ends) > now}
    tx.update(replace(cluster, removed_nodes=kept | {node_id: until}))


def check_tunnel(address: str, view: View) -> None:
    """Raise InvalidArgument unless tunnels from the other nodes can end at that address."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError as error:
        raise InvalidArgument(f"{address[:100]!r} is no address where tunnels can end") from error
    if ip.is_unspecified or ip.is_multicast:
        raise InvalidArgument(f"tunnels cannot end at {ip}")
    for node in view.all(Node):
        if node.status.addr and ipaddress.ip_address(node.status.addr).version != ip.version:
            raise InvalidArgument(
                f"tunnels to {ip} are of another IP version than those to node {node.hostname} ({node.status.addr}): "
                "name an address of that version with --data-path-addr"
            )


def sane_mtu(mtu: int) -> int:
    """An MTU in bytes as a node says it, 0 (not known) for one that no link of a node can have."""
    return mtu if LEAST_MTU <= mtu <= 65536 else 0


def _sign(cluster: Cluster, csr: str, node: Node, now: datetime) -> str:
    identity = NodeIdentity(node_id=node.id, role=node.spec.role or WORKER, cluster_id=cluster.id)
    addresses = [host_of(node.manager_status.addr)] if node.manager_status and node.manager_status.addr else []
    return authority(cluster).sign(csr.encode(), identity, now, cert_validity(cluster), addresses=addresses).decode()


def _role(cluster: Cluster, token: str) -> str:
    given = str(parse_token(token))
    for role, expected in ((WORKER, cluster.join_tokens.worker), (MANAGER, cluster.join_tokens.manager)):
        if same_token(given, expected):
            return role
    raise InvalidArgument(_INVALID_TOKEN)


def _check_advertised(tx: Tx, address: str) -> None:
    """Raise InvalidArgument for what is no address of a manager's, Conflict where another one is reached there."""
    host, _, port = address.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        if not 0 < int(port) <= MOST_PORT:
            raise ValueError
    except ValueError as error:
        raise InvalidArgument(f"{address[:100]!r} is no address and port where a manager can be reached") from error
    for node in tx.all(Node):
        if node.manager_status is not None and node.manager_status.addr == address:
            raise Conflict(
                f"manager {node.hostname} is reached at {address} already: give each machine an address of its own "
                "with --advertise-addr, and remove managers that are gone (docker node demote, docker node rm)"
            )


def _check_address(tx: Tx, asked: JoinRequest) -> None:
    for node in tx.all(Node):
        if node.is_ready and node.status.addr == asked.addr:
            raise Conflict(
                f"{asked.hostname} says to be reached at {asked.addr}, and so does node {node.hostname} of this swarm: "
                "give each machine an address of its own, with --advertise-addr or --data-path-addr"
            )
