"""Reading and updating the swarm itself: its settings and its join tokens."""

from datetime import datetime

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.errors import InvalidArgument
from shoal.manager import rotation
from shoal.manager.cluster import the_cluster, trust_root
from shoal.manager.control.refusals import out_of_sequence
from shoal.objects.cluster import CAConfig, Cluster, ClusterSpec, JoinTokens
from shoal.pki.authority import RootCA
from shoal.pki.desired import desired_root
from shoal.pki.tokens import make_token
from shoal.store.store import Store
from shoal.store.tx import Tx
from shoal.wire.docker.swarm import TokenRotation

_INVALID = "rpc error: code = InvalidArgument desc = "
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
    if spec.ca_config.external_cas:
        raise InvalidArgument(
            "external certificate authorities are not supported: the swarm signs by itself, with its own root or with "
            "one that docker swarm ca --rotate --ca-cert FILE --ca-key FILE gives it"
        )
    if spec.encryption_config.auto_lock_managers:
        raise InvalidArgument("autolock is not supported yet: managers' keys are protected by file permissions alone")


class ClusterControl:
    """The API's hand on the swarm object."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def get(self) -> Cluster:
        """The swarm."""
        return the_cluster(self._store.view)

    async def update(self, spec: ClusterSpec, version: int, tokens_anew: TokenRotation) -> None:
        """Replace the settings; ``version`` is the one that they were made from. Those of the authority may mean that
        the root is to be another: what was given for that is not kept with them."""
        if spec.name not in ("", "default"):
            raise InvalidArgument('swarm spec must be named "default"')
        validate_spec(spec)

        def change(tx: Tx) -> None:
            cluster = the_cluster(tx)
            if cluster.version.index != version:
                raise out_of_sequence()
            tokens = cluster.join_tokens
            root = trust_root(cluster).encode()
            if tokens_anew.worker_token:
                tokens = JoinTokens(worker=str(make_token(root)), manager=tokens.manager)
            if tokens_anew.manager_token:
                tokens = JoinTokens(worker=tokens.worker, manager=str(make_token(root)))
            if (wanted := _wanted_root(spec.ca_config, cluster.spec.ca_config, self._clock.now())) is not None:
                cluster = _begun(cluster, wanted)
            ca = replace(spec.ca_config, signing_ca_cert=None, signing_ca_key=None)
            tx.update(replace(cluster, spec=replace(spec, name="default", ca_config=ca), join_tokens=tokens))

        await self._store.update(change)


def _wanted_root(asked: CAConfig, present: CAConfig, now: datetime) -> RootCA | None:
    """The root that settings ask for, if they ask for one. Raises InvalidArgument for one that cannot be."""
    if asked.signing_ca_cert and asked.signing_ca_key:
        try:
            return desired_root(asked.signing_ca_cert.encode(), asked.signing_ca_key.encode(), now)
        except InvalidArgument as error:
            raise InvalidArgument(f"{_INVALID}{error}") from error
    if asked.signing_ca_key:
        raise InvalidArgument(f"{_INVALID}if a signing CA key is provided, the signing CA cert must also be provided")
    if asked.signing_ca_cert:
        raise InvalidArgument(
            f"{_INVALID}there must be at least one valid, reachable external CA corresponding to the desired CA "
            "certificate"
        )
    return RootCA.create(now) if (asked.force_rotate or 0) != (present.force_rotate or 0) else None


def _begun(cluster: Cluster, root: RootCA) -> Cluster:
    try:
        return rotation.begin(cluster, root)
    except InvalidArgument as error:
        raise InvalidArgument(f"{_INVALID}{error}") from error
