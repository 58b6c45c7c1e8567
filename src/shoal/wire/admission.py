"""How a machine becomes a node, and stays one: what it asks a manager for on the swarm's port, as JSON over HTTPS.

``GET /v1/root`` gives the swarm's root certificate to whoever asks; the join token says which one to expect.
``POST /v1/join`` is for who has a token, ``POST /v1/renew`` for who has a certificate, ``GET /v1/quorum`` for who has a
manager's. An error comes as :class:`Refusal`, under the status of its kind.
"""

from shoal.errors import Conflict, FailedPrecondition, Forbidden, InvalidArgument, ShoalError, Unavailable
from shoal.objects.base import Object

ROOT, JOIN, RENEW, QUORUM = "/v1/root", "/v1/join", "/v1/renew", "/v1/quorum"

# The kinds of error that a manager answers with; any other is the last.
_STATUSES: dict[type[ShoalError], int] = {
    InvalidArgument: 400,
    Forbidden: 403,
    Conflict: 409,
    FailedPrecondition: 412,
    Unavailable: 503,
}


class TrustRoot(Object, frozen=True):
    """The root certificate (PEM), which join tokens pin, and the manager's clock, for who cannot check the one by the
    other yet. While the root is being rotated ``bundle`` has all that are trusted, by the word of the first:
    ``voucher`` is that one's signature, in base 64."""

    certificate: str
    now: str
    bundle: str = ""
    voucher: str = ""


class JoinRequest(Object, frozen=True):
    """``csr`` is PEM, ``addr`` where the node's tunnels end, ``hostname`` its name in messages. ``advertise`` is where
    others would reach it as a manager, ``address:port``; ``store`` the kind of place that it would share the
    state in (``etcd``, ``external``), and ``trouble`` why it cannot be a manager, if it cannot."""

    token: str
    csr: str
    addr: str
    hostname: str
    availability: str = "active"
    advertise: str = ""
    store: str = "etcd"
    trouble: str = ""


class Admitted(Object, frozen=True):
    """What the node is from now on: its certificate (PEM) says so too. ``bundle`` are the roots (PEM) that it is to
    trust, empty from a manager that has no more than the one."""

    node_id: str
    certificate: str
    role: str = "worker"
    bundle: str = ""


class RenewalRequest(Object, frozen=True):
    """``csr`` is PEM; who asks is in the certificate that the connection came with. ``advertise`` as for joining."""

    csr: str
    advertise: str = ""


class Renewed(Object, frozen=True):
    """A new certificate (PEM), and the roots that are trusted, one of which signed it."""

    certificate: str
    root: str


class Quorum(Object, frozen=True):
    """The members of the swarm's etcd: names, which are node ids, by peer URL; a name is empty until its member has run
    once. Nobody while the state is not shared."""

    members: dict[str, str]


class Refusal(Object, frozen=True):
    """Why not, for a person."""

    message: str


def status_of(error: ShoalError) -> int:
    """The status under which an error is answered."""
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 503)


def error_of(status: int, message: str) -> ShoalError:
    """The error that was answered."""
    kinds = {status: kind for kind, status in _STATUSES.items()}
    return kinds.get(status, Unavailable)(message)
