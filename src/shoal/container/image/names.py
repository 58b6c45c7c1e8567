"""Names given to images and taken away, so that no image is ever without a record until it is removed."""

import asyncio
from collections.abc import Sequence

from shoal.container.containerd.images import Descriptor as Target
from shoal.container.containerd.images import ImageRecords
from shoal.container.image.catalogue import DANGLING, Catalogue, Image
from shoal.container.image.manifest import Descriptor
from shoal.container.reference import Reference


class Names:
    """Writes the image records; one change at a time."""

    def __init__(self, *, records: ImageRecords, catalogue: Catalogue) -> None:
        self._records = records
        self._catalogue = catalogue
        self._turn = asyncio.Lock()

    async def give(self, image_id: str, target: Descriptor, names: Sequence[Reference]) -> Image | None:
        """Make ``names`` (none: no name at all) mean the image; returns the one that the first of them meant before.

        An image that loses its last name this way stays, as a dangling one.
        """
        pointer = Target(target.media_type, target.digest, target.size)
        async with self._turn:
            before: Image | None = None
            for position, name in enumerate(names):
                held = await self._catalogue.named(name)
                before = held if position == 0 else before
                if held is not None and held.id != image_id:
                    await self._keep_without(held, name)
                if held is None or held.id != image_id or name.digest is None:
                    await self._records.put(str(name), pointer)
            if names:
                await self._records.delete(DANGLING + image_id)
            elif not any(image.id == image_id for image in await self._catalogue.images()):
                await self._records.put(DANGLING + image_id, pointer)
            return before

    async def take(self, image: Image, names: Sequence[Reference], *, delete: bool) -> None:
        """Take ``names`` away; with ``delete`` the image too, at once, or else it stays even without a name."""
        async with self._turn:
            if not delete and set(names) >= set(image.names):
                await self._keep(image)
            for name in names:
                await self._records.delete(str(name))
            if delete:
                # The last deletion collects, so that the caller can see which layers went with the image.
                await self._records.delete(DANGLING + image.id)
                await self._records.put(DANGLING + image.id, _pointer(image))
                await self._records.delete(DANGLING + image.id, collect=True)

    async def _keep_without(self, image: Image, name: Reference) -> None:
        whole = await self._catalogue.find(image.id)
        if set(whole.names) <= {name}:
            await self._keep(whole)

    async def _keep(self, image: Image) -> None:
        await self._records.put(DANGLING + image.id, _pointer(image))


def _pointer(image: Image) -> Target:
    return Target(image.target.media_type, image.target.digest, image.target.size)
