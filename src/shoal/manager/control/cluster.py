"""Reading and updating the swarm itself: its settings and its join tokens."""

from msgspec.structs import replace

from shoal.errors import InvalidArgument
from shoal.manager.cluster import the_cluster, trust_root
from shoal.manager.control.refusals import out_of_sequence
from shoal.objects.cluster import Cluster, ClusterSpec, JoinTokens
from shoal.pki.tokens import make_token
from shoal.store.store import Store
from shoal.store.tx import Tx
from shoal.wire.docker.swarm import TokenRotation

_MIN_CERT_EXPIRY = 3600 * 1_000_000_000


def validate_spec(spec: ClusterSpec) -> None:
    """Raises InvalidArgument for settings that no swarm can have."""
    expiry = spec.ca_config.node_cert_expiry
    if expiry is not None and expiry < _MIN_CERT_EXPIRY:
        raise InvalidArgument("rpc error: code = InvalidArgument desc = minimum certificate expiry time is: 1h0m0s")
    heartbeat = spec.dispatcher.heartbeat_period
    if heartbeat is not None and heartbeat < 0:
        raise InvalidArgument(
            "rpc error: code = InvalidArgument desc = heartbeat time period cannot be a negative duration"
        )
    if spec.encryption_config.auto_lock_managers:
        raise InvalidArgument("autolock is not supported yet: managers' keys are protected by file permissions alone")


class ClusterControl:
    """The API's hand on the swarm object."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self) -> Cluster:
        """The swarm."""
        return the_cluster(self._store.view)

    async def update(self, spec: ClusterSpec, version: int, rotation: TokenRotation) -> None:
        """Replace the settings; ``version`` is the one that they were made from."""
        if spec.name not in ("", "default"):
            raise InvalidArgument('swarm spec must be named "default"')
        validate_spec(spec)

        def change(tx: Tx) -> None:
            cluster = the_cluster(tx)
            if cluster.version.index != version:
                raise out_of_sequence()
            tokens = cluster.join_tokens
            root = trust_root(cluster).encode()
            if rotation.worker_token:
                tokens = JoinTokens(worker=str(make_token(root)), manager=tokens.manager)
            if rotation.manager_token:
                tokens = JoinTokens(worker=tokens.worker, manager=str(make_token(root)))
            tx.update(replace(cluster, spec=replace(spec, name="default"), join_tokens=tokens))

        await self._store.update(change)
