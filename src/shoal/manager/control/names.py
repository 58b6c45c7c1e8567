"""What a swarm object may be called (SwarmKit's ``validateAnnotations``)."""

import re

from shoal.manager.control.refusals import invalid

_NAME = re.compile(r"[a-zA-Z0-9](?:[-_]*[A-Za-z0-9])*\Z")


def validate_name(name: str) -> None:
    """Raises InvalidArgument: the name of a service or a network is also one in DNS."""
    if not name:
        raise invalid("meta: name must be provided")
    if not _NAME.match(name):
        raise invalid("name must be valid as a DNS name component")
    if len(name) > 63:
        raise invalid("name must be 63 characters or fewer")
