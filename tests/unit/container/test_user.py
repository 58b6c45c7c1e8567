"""Users and groups by the rootfs's own files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.container import oci
from shoal.container.user import MAX_ID, ResolvedUser, resolve
from shoal.errors import InvalidArgument

PASSWD = """# accounts
root:x:0:0:root:/root:/bin/sh
ann:x:7:8::/home/ann:/bin/sh
12:x:99:98::/home/twelve:/bin/sh
nohome:x:5:6
broken:line
bad:x:abc:1::/:
"""
GROUP = "root:x:0:\nwheel:x:10:root,ann\nstaff:x:20:ann\n30:x:31:\nbroken\n"


def run(wanted: str, *add: str) -> tuple[int, int, tuple[int, ...], str]:
    found = resolve(wanted, passwd=PASSWD, group=GROUP, add=add)
    return found.user.uid, found.user.gid, found.user.additional_gids, found.home


def test_the_forms() -> None:
    assert run("") == (0, 0, (0, 10), "/root")
    assert run("ann") == run("7") == (7, 8, (8, 10, 20), "/home/ann")
    assert run("ann:staff") == (7, 20, (20,), "/home/ann")
    assert run("ann:5") == (7, 5, (5,), "/home/ann")
    assert run("1234") == (1234, 0, (0,), "/")
    assert run("1234:wheel") == (1234, 10, (10,), "/")
    assert run("nohome") == (5, 6, (6,), "/")
    assert run("12") == (99, 98, (98,), "/home/twelve")
    assert run("0:30") == (0, 31, (31,), "/root")
    assert run("ann", "wheel", "77", "staff") == (7, 8, (8, 10, 20, 77), "/home/ann")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("bob", "unable to find user bob: no matching entries in passwd file"),
        ("broken", "unable to find user broken"),
        ("ann:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("-1", "uids and gids must be in range"),
        (str(MAX_ID + 1), "uids and gids must be in range"),
        ("1" * 5000, "uids and gids must be in range"),
        ("²", "unable to find user"),
    ],
)
def test_what_cannot_be(wanted: str, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        run(wanted)


def test_an_image_without_the_files() -> None:
    assert resolve("", passwd="", group="") == ResolvedUser(oci.User(uid=0, gid=0, additional_gids=(0,)), "/")


@given(st.text(), st.text(), st.text(st.sampled_from("a0:9-r"), max_size=8))
def test_nothing_but_our_own_error_for_any_file(passwd: str, group: str, wanted: str) -> None:
    try:
        found = resolve(wanted, passwd=passwd, group=group)
    except InvalidArgument:
        return
    assert 0 <= found.user.uid
    assert found.user.gid in found.user.additional_gids
