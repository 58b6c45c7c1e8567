"""Finding an object by what the user wrote: its id, its name, or the beginning of its id, in that order."""

from shoal.errors import InvalidArgument, NotFound
from shoal.objects.node import Node
from shoal.store.tables import KIND_OF, S, name_of
from shoal.store.tx import View


def resolve(view: View, kind: type[S], text: str) -> S:
    """The one object meant. Raises NotFound, or InvalidArgument where several would do, in Docker's words."""
    word = KIND_OF[kind]
    if text and (found := view.get(kind, text)) is not None:
        return found
    everything = view.all(kind)
    for matches in (
        [obj for obj in everything if _called(obj) == text],
        [obj for obj in everything if text and obj.id.startswith(text)],
    ):
        if len(matches) > 1:
            raise InvalidArgument(f"{word} {text} is ambiguous ({len(matches)} matches found)")
        if matches:
            return matches[0]
    raise NotFound(f"{word} {text} not found")


def _called(obj: S) -> str | None:
    return obj.hostname if isinstance(obj, Node) else name_of(obj)
