"""Images as the Engine API lists and inspects them. Clients of older versions are told more, and fill more in."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from shoal.objects.base import ZERO_TIME, timestamp
from shoal.objects.container import ContainerConfig, Pascal
from shoal.objects.image import HistoryStep, ImagePruneResult, ImageRecord, ImageRemoval
from shoal.wire.docker.containers import GraphDriver
from shoal.wire.docker.times import unix

Version = tuple[int, int]

_NO_NAME: Final = "<none>"
_OPTIONAL_CONFIG: Final = ("ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal",
                           "StopTimeout", "Shell")  # fmt: skip
# From these versions on, Docker no longer sends a field, or no longer fills it with what is not there.
_NO_PLACEHOLDERS: Final = (1, 43)
_NO_VIRTUAL_SIZE: Final = (1, 44)
_NO_BUILD_CONTAINER: Final = (1, 45)
_NO_EMPTY_CONFIG: Final = (1, 50)


class ImageSummary(Pascal, frozen=True, kw_only=True):
    """An entry of ``GET /images/json``; -1 where nobody counted."""

    id: str
    parent_id: str = ""
    repo_tags: list[str]
    repo_digests: list[str]
    created: int
    size: int
    shared_size: int = -1
    virtual_size: int | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str] | None
    containers: int = -1


class RootFS(Pascal, frozen=True):
    """The digests of the layers, bottom first."""

    type: str
    layers: list[str]


class ImageMetadata(Pascal, frozen=True):
    """What this node knows of the image beside its content."""

    last_tag_time: str


class ImageInspect(Pascal, frozen=True, kw_only=True):
    """The answer of ``GET /images/{name}/json``."""

    id: str
    repo_tags: list[str]
    repo_digests: list[str]
    parent: str = ""
    comment: str
    created: str
    container: str | msgspec.UnsetType = msgspec.UNSET
    container_config: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    docker_version: str
    author: str
    config: dict[str, Any]
    architecture: str
    variant: str | msgspec.UnsetType = msgspec.UNSET
    os: str
    os_version: str | msgspec.UnsetType = msgspec.UNSET
    size: int
    virtual_size: int | msgspec.UnsetType = msgspec.UNSET
    graph_driver: GraphDriver = GraphDriver()
    root_fs: RootFS = msgspec.field(name="RootFS")
    metadata: ImageMetadata


class HistoryItem(Pascal, frozen=True, kw_only=True):
    """An entry of ``GET /images/{name}/history``."""

    id: str
    created: int
    created_by: str
    tags: list[str] | None
    size: int
    comment: str


class ImagesPruned(Pascal, frozen=True):
    images_deleted: list[ImageRemoval] | None
    space_reclaimed: int


def summary(
    image: ImageRecord, version: Version, *, is_meant: Callable[[str], bool] = lambda _name: True
) -> ImageSummary:
    """The image in a list, with those of its names that are meant."""
    tags, digests = ([name for name in names if is_meant(name)] for names in (image.tags, image.digests))
    if version < _NO_PLACEHOLDERS and not image.tags:
        tags = [f"{_NO_NAME}:{_NO_NAME}"]
        digests = digests or [f"{_NO_NAME}@{_NO_NAME}"]
    return ImageSummary(
        id=image.id,
        repo_tags=tags,
        repo_digests=digests,
        created=unix(image.config.created),
        size=image.size,
        virtual_size=image.size if version < _NO_VIRTUAL_SIZE else msgspec.UNSET,
        labels=dict(image.run_config.labels) if image.run_config.labels else None,
    )


def inspect(image: ImageRecord, version: Version) -> ImageInspect:
    """All about the image."""
    config: dict[str, Any] = msgspec.to_builtins(image.run_config)
    if version < _NO_EMPTY_CONFIG:
        config = _empty_config() | config
    old = version < _NO_BUILD_CONTAINER
    return ImageInspect(
        id=image.id,
        repo_tags=list(image.tags),
        repo_digests=list(image.digests),
        comment=image.config.comment,
        created=image.config.created or ZERO_TIME,
        container="" if old else msgspec.UNSET,
        container_config=_empty_config() if old else msgspec.UNSET,
        docker_version=image.config.docker_version,
        author=image.config.author,
        config=config,
        architecture=image.config.architecture,
        variant=image.config.variant or msgspec.UNSET,
        os=image.config.os,
        os_version=image.config.os_version or msgspec.UNSET,
        size=image.size,
        virtual_size=image.size if version < _NO_VIRTUAL_SIZE else msgspec.UNSET,
        root_fs=RootFS("layers", list(image.config.rootfs.diff_ids)),
        metadata=ImageMetadata(_tagged(image.tagged)),
    )


def history(steps: Iterable[HistoryStep]) -> list[HistoryItem]:
    """How an image was made, newest step first."""
    return [
        HistoryItem(
            id=step.id,
            created=unix(step.created),
            created_by=step.created_by,
            tags=list(step.tags) or None,
            size=step.size,
            comment=step.comment,
        )
        for step in steps
    ]


def pruned(result: ImagePruneResult) -> ImagesPruned:
    """The answer of ``POST /images/prune``."""
    return ImagesPruned(result.removed or None, result.space)


def _empty_config() -> dict[str, Any]:
    """A ContainerConfig that says nothing, as images' answers had it for long."""
    empty: dict[str, Any] = msgspec.to_builtins(ContainerConfig())
    return {key: value for key, value in empty.items() if key not in _OPTIONAL_CONFIG}


def _tagged(moment: datetime | None) -> str:
    return timestamp(moment) if moment is not None else ZERO_TIME
