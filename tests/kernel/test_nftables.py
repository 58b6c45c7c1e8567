"""nft scripts in namespaces; as root."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from shoal.errors import Conflict, InvalidArgument, NotFound
from shoal.kernel import changes, netns, nftables
from shoal.kernel.netlink import Netlink
from shoal.kernel.netns import Namespace
from shoal.kernel.nftables import Nftables, NftTable

pytestmark = pytest.mark.root

SCRIPT = """table ip mesh {
	comment "shoal ingress"
	chain pre {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 80 counter dnat to numgen inc mod 2 map { 0 : 10.255.0.3, 1 : 10.255.0.4 }
	}
}
"""


@pytest.fixture
def spaces() -> Iterator[list[Namespace]]:
    """Two namespaces of this test's own."""
    names = [f"t-{os.getpid()}-{uuid.uuid4().hex[:6]}" for _ in range(2)]
    try:
        yield [netns.create(name) for name in names]
    finally:
        for name in names:
            netns.delete(name)


@pytest.fixture
def nft(spaces: list[Namespace]) -> Iterator[list[Nftables]]:
    """A context in each."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Nftables.open(space.path))) for space in spaces]


def test_a_table_is_there_with_its_comment_and_only_there(spaces: list[Namespace], nft: list[Nftables]) -> None:
    assert nft[0].run(SCRIPT) == ""
    nft[0].run('table inet other\ntable ip6 six { comment "six of ü"; }')
    assert sorted(nft[0].list_tables(), key=lambda t: t.name) == [
        NftTable("ip", "mesh", "shoal ingress"),
        NftTable("inet", "other", ""),
        NftTable("ip6", "six", "six of ü"),
    ]
    assert nft[1].list_tables() == []
    command = ["ip", "netns", "exec", spaces[0].path.name, "nft", "--stateless", "list", "table", "ip", "mesh"]
    assert nft[0].list_table("ip", "mesh") == subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_what_is_listed_can_be_run_again(nft: list[Nftables]) -> None:
    nft[0].run(SCRIPT)
    listed = nft[0].list_table("ip", "mesh")
    assert "counter" in listed and "packets" not in listed
    nft[1].run(listed)
    assert nft[1].list_table("ip", "mesh") == listed
    assert nft[1].list_tables() == nft[0].list_tables()


def test_a_script_is_all_or_nothing(nft: list[Nftables]) -> None:
    with pytest.raises(Conflict, match="File exists"):
        nft[0].run("table ip a\ntable ip b\ncreate table ip a")
    assert nft[0].list_tables() == []


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("add tabel ip x", InvalidArgument, "syntax error"),
        ('table ip x { chain c { iif "absent" accept; }; }', InvalidArgument, "Interface does not exist"),
        ("delete table ip absent", NotFound, "No such file"),
        ("add rule ip absent c accept", NotFound, "No such file"),
    ],
)
def test_errors_have_a_kind_and_nfts_own_text(nft: list[Nftables], script: str, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        nft[0].run(script)
    nft[0].run("table ip fine")
    assert nft[0].list_tables() == [NftTable("ip", "fine", "")]


def test_removing_a_table_works_whether_it_is_there_or_not(nft: list[Nftables]) -> None:
    nft[0].run(nftables.delete_table("ip", "mesh"))
    nft[0].run(SCRIPT)
    nft[0].run(nftables.delete_table("ip", "mesh") + SCRIPT)
    assert nft[0].list_table("ip", "mesh") == nft[0].run("list table ip mesh")
    nft[0].run(nftables.delete_table("ip", "mesh"))
    with pytest.raises(NotFound):
        nft[0].list_table("ip", "mesh")


def test_link_names_are_those_of_the_namespace(spaces: list[Namespace], nft: list[Nftables]) -> None:
    for space, name in zip(spaces, ("left0", "right0"), strict=True):
        with closing(Netlink.open(space.path)) as sock:
            sock.apply([changes.add_bridge(name)])
    for context, name in zip(nft, ("left0", "right0"), strict=True):
        context.run(f'table ip x {{ chain c {{ iif "{name}" accept; }}; }}')
        assert f'iif "{name}"' in context.list_table("ip", "x")


def test_a_context_is_not_shared_with_what_others_do(spaces: list[Namespace], nft: list[Nftables]) -> None:
    nft[0].run(SCRIPT)
    subprocess.run(["ip", "netns", "exec", spaces[0].path.name, "nft", "delete", "table", "ip", "mesh"], check=True)
    with pytest.raises(NotFound):
        nft[0].list_table("ip", "mesh")
    nft[0].run(SCRIPT)
    assert [t.name for t in nft[0].list_tables()] == ["mesh"]


def test_an_absent_namespace_is_not_found_and_closing_twice_is_fine(spaces: list[Namespace]) -> None:
    with pytest.raises(NotFound):
        Nftables.open(spaces[0].path.with_name("absent"))
    context = Nftables.open(spaces[0].path)
    context.close()
    context.close()
