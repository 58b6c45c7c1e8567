"""What ``docker rmi`` takes away: pure, from an image's names, what was asked for, and who uses it.

The rules and the texts are dockerd's (its ``image_delete``): an id may only be given while the image has one name;
a name that is not the last only goes itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.container.reference import Reference
from shoal.errors import Conflict

_ID_TEXT = re.compile(r"(sha256:)?[0-9a-f]+")
_SHORT = 12


@dataclass(frozen=True, slots=True)
class ImageUser:
    """A container that was made from an image."""

    container_id: str
    image_id: str
    running: bool


@dataclass(frozen=True, slots=True)
class Removal:
    """Names to take away, in this order, and whether the image goes with them."""

    untag: tuple[Reference, ...]
    delete: bool


def is_id_of(text: str, image_id: str) -> bool:
    """Whether ``text`` names the image by (the start of) its id."""
    return _ID_TEXT.fullmatch(text) is not None and image_id.removeprefix("sha256:").startswith(
        text.removeprefix("sha256:")
    )


def plan_removal(
    *,
    image_id: str,
    names: Sequence[Reference],
    asked: Reference | None,
    users: Sequence[ImageUser],
    force: bool,
) -> Removal:
    """What to do to remove ``asked``, or the image by its id when that is None.

    Raises :class:`Conflict` with Docker's text when a container or another name stands in the way.
    """
    using = [user for user in users if user.image_id == image_id]
    if asked is None:
        if not _is_single(names):
            _check(image_id, names, using, force=force)
        else:
            _check(image_id, (), using, force=force)
        return Removal(tuple(names), delete=True)
    if not force and _is_single(names) and using:
        raise Conflict(
            f'conflict: unable to remove repository reference "{asked.familiar}" (must force) - '
            f"container {using[0].container_id[:_SHORT]} is using its referenced image {_short(image_id)}"
        )
    untag = [asked]
    rest = [name for name in names if name != asked]
    same = [name for name in rest if name.name == asked.name]
    if asked.digest is None and all(name.digest is not None for name in same):
        # The digests of a repository mean nothing without a tag of it.
        untag += same
        rest = [name for name in rest if name not in same]
    if rest:
        return Removal(tuple(untag), delete=False)
    running = any(user.running for user in using)
    # A name of an image that is in use may be forced away; the image then stays, without a name, while it runs.
    return Removal(tuple(untag), delete=not running)


def _check(image_id: str, names: Sequence[Reference], using: Sequence[ImageUser], *, force: bool) -> None:
    running = next((user for user in using if user.running), None)
    if running is not None:
        reason = f"image is being used by running container {running.container_id[:_SHORT]}"
        raise Conflict(f"conflict: unable to delete {_short(image_id)} (cannot be forced) - {reason}")
    if force:
        return
    if len(names) > 1:
        reason = "image is referenced in multiple repositories"
        raise Conflict(f"conflict: unable to delete {_short(image_id)} (must be forced) - {reason}")
    if using:
        reason = f"image is being used by stopped container {using[0].container_id[:_SHORT]}"
        raise Conflict(f"conflict: unable to delete {_short(image_id)} (must be forced) - {reason}")


def _is_single(names: Sequence[Reference]) -> bool:
    """Whether there is at most one tag, and digests of one repository only."""
    if len(names) <= 1:
        return True
    tags = [name for name in names if name.digest is None]
    repositories = {name.name for name in names if name.digest is not None}
    if len(tags) > 1:
        return False
    return repositories == {(tags or names)[0].name}


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:_SHORT]
