"""protobuf's well-known types, and containerd's own way with Any, from and to Python's."""

from datetime import UTC, datetime

import msgspec
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

OCI = "types.containerd.io/opencontainers/runtime-spec/1"


def moment(stamp: Timestamp) -> datetime:
    """In UTC; a stamp that is not set is the year 1, Go's zero time."""
    if not stamp.seconds and not stamp.nanos:
        return datetime(1, 1, 1, tzinfo=UTC)
    return stamp.ToDatetime(tzinfo=UTC)


def oci_any(kind: str, value: msgspec.Struct) -> Any:
    """An object of the OCI runtime specification (``Spec``, ``Process``, ``LinuxResources``), which travels as JSON."""
    return Any(type_url=f"{OCI}/{kind}", value=msgspec.json.encode(value))


def message_any(message: Message) -> Any:
    """A protobuf message under its bare name, as containerd's typeurl has it."""
    return Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())
