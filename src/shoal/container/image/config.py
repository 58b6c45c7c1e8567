"""The image config, as the OCI image specification and Docker write it, and the ids that follow from it."""

import hashlib
from collections.abc import Sequence

import msgspec

from shoal.errors import InvalidArgument


class Healthcheck(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """A health check; times in nanoseconds, 0 for the default; ``test`` starts with NONE, CMD or CMD-SHELL."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RunConfig(msgspec.Struct, frozen=True, omit_defaults=True, rename="pascal"):
    """How to run the image where the user says nothing; the names are those of the specification."""

    user: str = ""
    exposed_ports: dict[str, dict[str, object]] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, dict[str, object]] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: list[str] | None = None
    on_build: list[str] | None = None
    args_escaped: bool = False
    healthcheck: Healthcheck | None = None


def _layers() -> str:
    """The only type there is, from a factory so that it is written although it is the default."""
    return "layers"


class RootFS(msgspec.Struct, frozen=True):
    """The digests of the uncompressed layers, bottom first."""

    diff_ids: list[str]
    type: str = msgspec.field(default_factory=_layers)


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the image's making; ``empty_layer`` steps have no layer of their own."""

    created: str | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


class ImageConfig(msgspec.Struct, frozen=True, omit_defaults=True):
    """The config blob. ``created`` stays the text it is (RFC 3339, nanoseconds): the API answers it unchanged."""

    architecture: str = ""
    os: str = ""
    rootfs: RootFS = RootFS(diff_ids=[])
    variant: str = ""
    os_version: str = msgspec.field(name="os.version", default="")
    created: str | None = None
    author: str = ""
    comment: str = ""
    docker_version: str = ""
    config: RunConfig | None = None
    history: list[History] | None = None


def parse_config(content: bytes) -> ImageConfig:
    """Raises :class:`InvalidArgument` when it is no image config."""
    try:
        return msgspec.json.decode(content, type=ImageConfig)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidArgument(f"invalid image config: {error}") from error


def encode_config(config: ImageConfig) -> bytes:
    """The config blob of ``config``."""
    return msgspec.json.encode(config)


def chain_ids(diff_ids: Sequence[str]) -> list[str]:
    """The id of each layer together with all below it, bottom first (OCI image specification, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        if chain:
            chain.append("sha256:" + hashlib.sha256(f"{chain[-1]} {diff_id}".encode()).hexdigest())
        else:
            chain.append(diff_id)
    return chain
