"""The one swarm object of a store, and what is read out of it in more than one place."""

from datetime import timedelta

from shoal.objects.cluster import Cluster
from shoal.objects.defaults import NODE_CERT_NANOSECONDS
from shoal.store.tx import View


def the_cluster(view: View) -> Cluster:
    """The one swarm object of a store."""
    return view.all(Cluster)[0]


def trust_root(cluster: Cluster) -> str:
    """The root certificate (PEM)."""
    return (cluster.tls_info.trust_root if cluster.tls_info else None) or ""


def cert_validity(cluster: Cluster) -> timedelta:
    """How long a new certificate holds."""
    return timedelta(microseconds=(cluster.spec.ca_config.node_cert_expiry or NODE_CERT_NANOSECONDS) / 1000)
