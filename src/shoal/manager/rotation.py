"""Another root in the place of the swarm's, while everybody goes on: no two nodes ever fail to trust each other.

It takes three steps, each of which begins when every node has said that the one before is done, those that are away
included (``node rm`` of them, and nobody waits):

1. every node trusts the new root too;
2. the new root issues certificates, and every node gets one;
3. the new root is the swarm's, with new join tokens that pin it; the old one is trusted no more.

Where the rotation stands is in the :class:`Cluster`, what a node trusts and of whom its certificate is in the node's
own description, so a leader goes on where another has ended. A rotation may be given up for another at any moment, and
that for the first again: so each has a number, and only what nodes have said after they heard of that one counts, lest
they have done meanwhile what they had not said yet. All of it is pure.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from shoal.errors import InvalidArgument
from shoal.manager.cluster import the_cluster, trust_bundle, trust_root
from shoal.objects.cluster import Cluster, JoinTokens, RootRotation
from shoal.objects.node import Node
from shoal.pki.authority import RootCA
from shoal.pki.identity import tls_info
from shoal.pki.pem import key_matches, split_certificates
from shoal.pki.tokens import make_token
from shoal.store.tx import Event, Tx, View


def begin(cluster: Cluster, root: RootCA) -> Cluster:
    """The swarm on its way to another root, or back to the one that it has; another rotation that is under way gives
    way to this one. Raises InvalidArgument for a certificate with the key of one that is trusted already."""
    wanted, present, under_way = root.certificate.decode(), trust_root(cluster), cluster.rotation
    for known in split_certificates(trust_bundle(cluster).encode()):
        if known != root.certificate and key_matches(root.key, known):
            raise InvalidArgument("Cannot update to a cert with an identical key")
    if wanted == (present if under_way is None else under_way.certificate):
        return cluster
    cluster = replace(cluster, rotations=cluster.rotations + 1)
    others = list(under_way.others) if under_way else []
    if under_way is not None and under_way.issues:
        others.append(under_way.certificate)
    if wanted == present and not others:
        # Nobody has a certificate of another.
        return replace(cluster, rotation=None, tls_info=tls_info(present.encode()))
    return replace(
        cluster,
        rotation=RootRotation(certificate=wanted, key=root.key.decode(), others=others),
        tls_info=replace(tls_info(root.certificate), trust_root=present),
    )


class Rotation:
    """The station that takes the next step (:class:`shoal.manager.loop.Station`)."""

    def __init__(self, view: View) -> None:
        self._view = view

    def reset(self) -> None:
        """Nothing is kept between steps."""

    def note(self, event: Event) -> bool:
        """Whether a step may be due: only during a rotation, which is seldom."""
        return isinstance(event.obj, Cluster | Node) and the_cluster(self._view).rotation is not None

    def step(self, tx: Tx, now: datetime) -> datetime | None:
        """Go on as far as all nodes have come."""
        cluster, nodes = the_cluster(tx), tx.all(Node)
        while (further := advanced(cluster, nodes)) is not None:
            tx.update(further)
            cluster = further
        return None


def advanced(cluster: Cluster, nodes: Sequence[Node]) -> Cluster | None:
    """The swarm a step further, if all its nodes have taken the one before."""
    rotation = cluster.rotation
    if rotation is None:
        return None
    if not rotation.issues:
        roots = [root.decode() for root in split_certificates(trust_bundle(cluster).encode())]
        if all(_has_heard(node, cluster) and root in trusted_by(node) for node in nodes for root in roots):
            return replace(cluster, rotation=replace(rotation, issues=True))
        return None
    if not all(_has_heard(node, cluster) and _is_issued(node, cluster) for node in nodes):
        return None
    root = rotation.certificate.encode()
    return replace(
        cluster,
        rotation=None,
        tls_info=tls_info(root),
        root_ca_key=rotation.key,
        join_tokens=JoinTokens(worker=str(make_token(root)), manager=str(make_token(root))),
    )


def trusted_by(node: Node) -> str:
    """The roots (PEM) that a node says to trust."""
    info = node.description.tls_info if node.description else None
    return (info.trust_root if info else None) or ""


def issuer_of(cluster: Cluster) -> str:
    """The root (PEM) of which all certificates are to be; empty where any of those that are trusted will do."""
    if cluster.rotation is not None and not cluster.rotation.issues:
        return ""
    return cluster.rotation.certificate if cluster.rotation else trust_root(cluster)


def trust_of(cluster: Cluster, node: Node, nodes: Sequence[Node]) -> str:
    """The roots (PEM) that a node is to trust from now on; empty where it is to go on as it is.

    A manager's etcd is started anew for that: so one manager changes after the other, and none while the others would
    be no majority without it, unless all are there.
    """
    bundle = trust_bundle(cluster)

    def has_changed(manager: Node) -> bool:
        return _has_heard(manager, cluster) and trusted_by(manager) == bundle

    if node.manager_status is None or has_changed(node):
        return bundle
    managers = [other for other in nodes if other.manager_status is not None]
    ready = [manager for manager in managers if manager.is_ready]
    behind = min((manager.id for manager in ready if not has_changed(manager)), default=None)
    has_majority = len(ready) - 1 > len(managers) // 2 or len(ready) == len(managers)
    return bundle if behind == node.id and has_majority else ""


def _has_heard(node: Node, cluster: Cluster) -> bool:
    """Whether what a node says of itself is of a time when it knew the present rotation."""
    return node.rotation == cluster.rotations


def _is_issued(node: Node, cluster: Cluster) -> bool:
    """Whether a node says that its certificate is of the root that is to be everybody's."""
    wanted, own = cluster.tls_info, node.description.tls_info if node.description else None
    return (
        wanted is not None
        and own is not None
        and (own.cert_issuer_subject, own.cert_issuer_public_key)
        == (wanted.cert_issuer_subject, wanted.cert_issuer_public_key)
    )
