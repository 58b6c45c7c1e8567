"""What a manager's dispatcher and a node's agent say to each other, as MessagePack over a WebSocket.

The manager renders one snapshot a node: a set of resources, each with a key. It sends the whole once and then the
differences, each under a version; the agent answers which version it has applied. Resources are complete: a service's
backends come as one list, so nothing can be half known.
"""

from typing import TypeAlias

import msgspec

from shoal.objects.base import Object
from shoal.objects.network import Network
from shoal.objects.node import NodeDescription
from shoal.objects.results import LogQuery
from shoal.objects.secret import Config, Secret
from shoal.objects.service import PortConfig
from shoal.objects.task import Task, TaskStatus

# The code of the close frame for a node that was taken out of the swarm (RFC 6455, 7.4.2: ours to choose).
REMOVED_CODE = 4001
# The one for a stream that ends for a reason, which the frame has.
FAILED_CODE = 4002
# The one of a manager that does not lead; the frame has the leader's ``address:port``, if that is known.
ELSEWHERE_CODE = 4003
# Where a node opens the streams that it was asked for, the id appended; and the longest message there, in bytes.
STREAM = "/v1/stream/"
STREAM_MESSAGE_LIMIT = 1024 * 1024
# So that whoever waits at the other end knows that there is somebody: the longest time without a message, in seconds.
STREAM_BEAT = 1.0


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="t"):
    """Base of all messages and resources; the tag tells them apart."""


class Revision(msgspec.Struct, frozen=True, order=True):
    """How new a manager's state is: the store's revision, within an epoch of the swarm's."""

    epoch: int = 0
    number: int = 0


class TaskResource(Message, frozen=True, tag="task"):
    """A task that was given to this node, with the state that is wanted of it."""

    task: Task

    @property
    def key(self) -> str:
        return f"task/{self.task.id}"


class NetworkResource(Message, frozen=True, tag="network"):
    """A network that this node has, or is about to have, endpoints on."""

    network: Network

    @property
    def key(self) -> str:
        return f"network/{self.network.id}"


class NodeResource(Message, frozen=True, tag="node"):
    """A node of the swarm: where its tunnels end, the MTU there in bytes (0: not known), and where its ingress sandbox
    is on the ingress network."""

    node_id: str
    hostname: str
    addr: str
    ingress_addresses: list[str]
    mtu: int = 0

    @property
    def key(self) -> str:
        return f"node/{self.node_id}"


class EndpointRecord(Message, frozen=True, tag="endpoint"):
    """One task's place on one network; a backend of its service while ``serving``."""

    task_id: str
    name: str
    slot: int
    node_id: str
    address: str
    aliases: list[str]
    serving: bool


class ServiceResource(Message, frozen=True, tag="service"):
    """A service as one network sees it: its name, its VIP (none with DNS round robin) and every endpoint.

    Plain containers on the network come as one service without a name.
    """

    network_id: str
    service_id: str
    name: str
    aliases: list[str]
    vip: str | None
    ports: list[PortConfig]
    endpoints: list[EndpointRecord]

    @property
    def key(self) -> str:
        return f"service/{self.network_id}/{self.service_id}"


class SecretResource(Message, frozen=True, tag="secret"):
    """A secret that a task of this node needs."""

    secret: Secret

    @property
    def key(self) -> str:
        return f"secret/{self.secret.id}"


class ConfigResource(Message, frozen=True, tag="config"):
    """A config that a task of this node needs."""

    config: Config

    @property
    def key(self) -> str:
        return f"config/{self.config.id}"


class ClusterResource(Message, frozen=True, tag="cluster"):
    """What nodes need to know of it; ``heartbeat_period`` in nanoseconds, ``managers`` as ``address:port`` by node,
    ``attachable`` the names, by id, of the networks that plain containers may join. ``role`` is what this very node is
    to be, worker or manager; empty from a manager that does not say. ``trust`` are the roots (PEM) that this node is to
    trust, no others, and ``issuer`` the one of which its certificate is to be; what is empty is as it is. ``rotation``
    says by a number to which rotation of the root ``trust`` belongs."""

    cluster_id: str
    data_path_port: int
    heartbeat_period: int
    managers: dict[str, str] = msgspec.field(default_factory=dict)
    attachable: dict[str, str] = msgspec.field(default_factory=dict)
    role: str = ""
    trust: str = ""
    issuer: str = ""
    rotation: int = 0

    @property
    def key(self) -> str:
        return "cluster"


Resource: TypeAlias = (
    TaskResource | NetworkResource | NodeResource | ServiceResource | SecretResource | ConfigResource | ClusterResource
)


class Hello(Message, frozen=True, tag="hello"):
    """The agent's first message: who it is comes from its certificate, what its machine is from here. ``addr`` is where
    its tunnels end, ``mtu`` that of the link there, in bytes; ``rotation`` the last one of the root that it has
    followed. A later one in the same session counts for what it says of the machine, and of that."""

    description: NodeDescription
    addr: str
    mtu: int = 0
    rotation: int = 0


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    """The agent lives; sent every period that the dispatcher named, and answered by :class:`HeartbeatTaken`."""


class StatusUpdate(Object, frozen=True):
    """One task's observed state."""

    task_id: str
    status: TaskStatus


class StatusReport(Message, frozen=True, tag="status"):
    """What has changed of the node's tasks; answered by :class:`StatusTaken` once it is in the store."""

    number: int
    updates: list[StatusUpdate]


class Leaving(Message, frozen=True, tag="leaving"):
    """The node leaves the swarm, and stops what runs on it."""


class Applied(Message, frozen=True, tag="applied"):
    """The node's network and tasks are those of this version."""

    version: int


class AttachNetwork(Message, frozen=True, tag="attach"):
    """A plain container of the node wants onto an attachable network; answered by :class:`NetworkAttached`."""

    number: int
    container_id: str
    name: str
    network_id: str
    aliases: list[str]


class DetachNetwork(Message, frozen=True, tag="detach"):
    """A plain container has left the network that this task stood for."""

    task_id: str


class NetworkAttached(Message, frozen=True, tag="attached"):
    """The task that stands for the attachment, whose addresses come with it in a later version; or why not."""

    number: int
    task_id: str = ""
    error: str = ""


class Welcome(Message, frozen=True, tag="welcome"):
    """The dispatcher's first message; ``heartbeat_period``, in nanoseconds, is how often it wants to hear one.
    ``revision`` says what it knows, so that a node does not follow one who knows less than it was told already."""

    session_id: str
    heartbeat_period: int
    revision: Revision = Revision()


class HeartbeatTaken(Message, frozen=True, tag="heard"):
    """The dispatcher lives, too."""


class Assignments(Message, frozen=True, tag="assignments"):
    """The snapshot as a whole (``full``), or what has changed since version ``base``; versions count within a session,
    ``revision`` is what it was rendered from."""

    version: int
    base: int
    full: bool
    put: list[Resource]
    remove: list[str]
    revision: Revision = Revision()


class StatusTaken(Message, frozen=True, tag="taken"):
    """The report of that number is in the store."""

    number: int


class ReadLog(Message, frozen=True, tag="read-log"):
    """Open the stream of that id to this manager, or to the one at ``manager`` (``address:port``), and send into it
    what a task has written (:class:`shoal.wire.logs.LogLines`)."""

    stream_id: str
    task_id: str
    query: LogQuery
    manager: str = ""


class RelayRead(Message, frozen=True, tag="relay"):
    """From a manager that does not lead: have that node open the stream, to the manager that is named there."""

    node_id: str
    wanted: ReadLog


FromAgent: TypeAlias = Hello | Heartbeat | StatusReport | Applied | AttachNetwork | DetachNetwork | Leaving | RelayRead
FromManager: TypeAlias = Welcome | HeartbeatTaken | Assignments | StatusTaken | NetworkAttached | ReadLog

_encoder = msgspec.msgpack.Encoder()
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_from_manager: msgspec.msgpack.Decoder[FromManager] = msgspec.msgpack.Decoder(FromManager)


def pack(message: FromAgent | FromManager) -> bytes:
    """One message as MessagePack."""
    return _encoder.encode(message)


def from_agent(data: bytes) -> FromAgent:
    """An agent's message. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _from_agent.decode(data)


def close_reason(error: Exception) -> bytes:
    """An error's text, as far as a close frame has room for it (RFC 6455, 5.5)."""
    return str(error).encode()[:120].decode(errors="ignore").encode()


def from_manager(data: bytes) -> FromManager:
    """A manager's message. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _from_manager.decode(data)
