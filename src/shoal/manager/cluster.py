"""The one swarm object of a store, and what is read out of it in more than one place."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec.structs import replace

from shoal.objects.cluster import Cluster
from shoal.objects.defaults import NODE_CERT_NANOSECONDS
from shoal.objects.node import Node
from shoal.pki.authority import RootCA
from shoal.store.tables import Stored
from shoal.store.tx import View


def the_cluster(view: View) -> Cluster:
    """The one swarm object of a store."""
    return view.all(Cluster)[0]


def in_a_new_epoch(objects: Iterable[Stored], now: datetime) -> list[Stored]:
    """The objects of a state that is put in the place of a newer one, on purpose: nodes follow it all the same."""
    return [
        replace(obj, epoch=max(obj.epoch + 1, int(now.timestamp()))) if isinstance(obj, Cluster) else obj
        for obj in objects
    ]


def trust_root(cluster: Cluster) -> str:
    """The root certificate (PEM), which the join tokens pin."""
    return (cluster.tls_info.trust_root if cluster.tls_info else None) or ""


def trust_bundle(cluster: Cluster) -> str:
    """All root certificates (PEM) that nodes are to trust, each once: more than one while the root is being rotated."""
    rotation = cluster.rotation
    if rotation is None:
        return trust_root(cluster)
    return "".join(dict.fromkeys((trust_root(cluster), *rotation.others, rotation.certificate)))


def as_worker(node: Node) -> Node:
    """A node that is no manager, whatever it was."""
    return replace(node, spec=replace(node.spec, role="worker"), manager_status=None)


def authority(cluster: Cluster) -> RootCA:
    """Who signs the nodes' certificates. Raises InvalidArgument for a key that is not the root certificate's."""
    if (rotation := cluster.rotation) is not None and rotation.issues:
        return RootCA.load(rotation.certificate.encode(), rotation.key.encode())
    return present_authority(cluster)


def present_authority(cluster: Cluster) -> RootCA:
    """The root certificate and its key. Raises as :func:`authority`."""
    return RootCA.load(trust_root(cluster).encode(), cluster.root_ca_key.encode())


def host_of(address: str) -> str:
    """The host of ``address:port``."""
    return address.rpartition(":")[0].strip("[]")


def cert_validity(cluster: Cluster) -> timedelta:
    """How long a new certificate holds."""
    return timedelta(microseconds=(cluster.spec.ca_config.node_cert_expiry or NODE_CERT_NANOSECONDS) / 1000)
