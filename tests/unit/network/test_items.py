"""When what is there is what is wanted, and what belongs to what."""

from dataclasses import replace

from shoal.network.items import Bridge, Namespace, Sysctl, Veth, Vxlan, same_device, satisfies, table

VETH = Veth("a", "x", "b", "y", 1500, None, "alias", "br0")


def test_any_mac_will_do_where_none_is_wanted() -> None:
    assert satisfies(VETH, replace(VETH, mac="02:42:0a:00:00:02"))
    assert not satisfies(replace(VETH, mac="02:42:0a:00:00:02"), replace(VETH, mac="02:42:0a:00:00:03"))
    assert not satisfies(VETH, replace(VETH, mtu=1400))
    assert not satisfies(VETH, None)
    assert not satisfies(VETH, Bridge("a", "x", 1500, None, "alias"))
    assert satisfies(Namespace("a", "x"), Namespace("a", "x"))


def test_tables_are_told_apart_by_their_bodies() -> None:
    one, other = table("", "ip", "shoal", "one"), table("", "ip", "shoal", "other")
    assert one.key == other.key
    assert not satisfies(one, other)
    assert satisfies(one, replace(one, body=""))


def test_a_device_is_the_same_where_the_kernel_can_change_the_rest() -> None:
    assert same_device(VETH, replace(VETH, mtu=1400, master=None))
    assert not same_device(VETH, replace(VETH, peer_name="z"))
    vxlan = Vxlan("a", "vxlan0", 4096, 4789, 1450, "alias")
    assert same_device(vxlan, replace(vxlan, mtu=1400))
    assert not same_device(vxlan, replace(vxlan, vni=4097))
    assert not same_device(vxlan, VETH)


def test_a_links_settings_are_its_own() -> None:
    assert Sysctl("a", "net.ipv4.conf.eth0.rp_filter", "0").link == "eth0"
    assert Sysctl("a", "net/ipv4/conf/br.1/route_localnet", "1").link == "br.1"
    for name in ("net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter", "net.ipv6.conf.default.disable_ipv6"):
        assert Sysctl("a", name, "0").link is None
