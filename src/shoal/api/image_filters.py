"""Which images ``GET /images/json`` lists: its filters, as pure tests of an image."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from shoal.api.filters import Filters
from shoal.objects.image import ImageRecord
from shoal.wire.docker.times import unix

ACCEPTED: Final = ("before", "dangling", "label", "reference", "since", "until")
PRUNE: Final = ("dangling", "label", "label!", "until")


def select(
    images: Iterable[ImageRecord], filters: Filters, *, before: Sequence[ImageRecord], since: Sequence[ImageRecord]
) -> list[ImageRecord]:
    """Those that pass; ``before`` and ``since`` are the images that those filters name. Raises InvalidArgument."""
    dangling = filters.boolean("dangling") if filters.get("dangling") else None
    is_meant = names(filters)
    return [
        image
        for image in images
        if (dangling is None or dangling == (not image.tags))
        and filters.allows_labels(image.run_config.labels)
        and all(_created(image) < _created(other) for other in before)
        and all(_created(image) > _created(other) for other in since)
        and (not filters.get("reference") or any(is_meant(name) for name in (*image.tags, *image.digests)))
    ]


def names(filters: Filters) -> Callable[[str], bool]:
    """Whether a name, with its tag or without it, is one that ``reference`` asks for: an image is listed with no other.
    Without that filter, all are."""
    patterns = [_pattern(text) for text in filters.get("reference")]
    return lambda name: not patterns or any(p.fullmatch(text) for p in patterns for text in (name, _repository(name)))


def _created(image: ImageRecord) -> int:
    return unix(image.config.created)


def _repository(name: str) -> str:
    repository = name.partition("@")[0]
    head, colon, tail = repository.rpartition(":")
    return head if colon and "/" not in tail else repository


def _pattern(text: str) -> re.Pattern[str]:
    """A shell's pattern whose ``*`` and ``?`` stop at slashes (Go, ``path.Match``)."""
    text = text.removeprefix("docker.io/").removeprefix("library/")
    parts = {"*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(char) or re.escape(char) for char in text))
