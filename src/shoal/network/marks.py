"""How what is ours is told from what is others', in the kernel itself.

Namespaces (by their ``lo``) and links carry an alias that begins with the owner; routes, rules and, where the kernel
keeps it, addresses a protocol number; nft tables the owner's name. The kernel takes no alias for a link that it is to
make: until it has one, a link of ours is in a group that says so.
"""

import zlib

from shoal.kernel.records import Link

# rtnetlink.h leaves numbers above RTPROT_STATIC, and above IFAPROT_KERNEL_RA, to whoever takes one.
PROTOCOL = 83
RULE_PRIORITY = 100


def nascent_group(owner: str) -> int:
    """The group of the owner's links that are not finished: a number that nobody else would think of."""
    return 1 << 29 | zlib.crc32(owner.encode()) & 0x1FFFFFFF


def is_ours(link: Link, owner: str) -> bool:
    """Whether a link is the owner's, finished or not."""
    return link.alias.startswith(f"{owner}:") or link.group == nascent_group(owner)
