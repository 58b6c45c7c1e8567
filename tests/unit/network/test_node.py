"""What follows from an address or an id."""

from shoal.network.node import OverlayNetwork, mac_of


def test_macs_follow_from_addresses() -> None:
    assert mac_of("10.255.0.2/16") == mac_of("10.255.0.2") == "02:42:0a:ff:00:02"
    assert mac_of("172.18.0.2") == "02:42:ac:12:00:02"
    assert mac_of("fd00::1:2/64") == "02:42:00:01:00:02"


def test_an_overlays_namespace_is_named_as_dockers() -> None:
    assert OverlayNetwork("a4xiy43kwuj8", "ingress", 4096, (), 1450).netns == "1-a4xiy43kwu"
