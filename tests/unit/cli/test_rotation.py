from shoal.cli.rotation import progress
from shoal.client.engine import Json


def info(root: str, issuer: str) -> Json:
    return {"TrustRoot": root, "CertIssuerSubject": issuer, "CertIssuerPublicKey": issuer}


def shown(swarm: Json, *nodes: Json) -> tuple[bool, list[tuple[int, int]]]:
    done, lines = progress(swarm, [{"Description": {"TLSInfo": node}} for node in nodes])
    return done, [(line["progressDetail"]["current"], line["progressDetail"]["total"]) for line in lines[1:]]


def test_it_is_over_when_all_have_the_new_certificate_and_trust_no_other_root() -> None:
    under_way = {"TLSInfo": info("old", "new"), "RootRotationInProgress": True}
    assert shown(under_way, info("old", "old"), info("old new", "new")) == (False, [(1, 2), (0, 2)])
    assert shown(under_way, info("old new", "new"), info("old", "new")) == (False, [(2, 2), (0, 2)])
    over = {"TLSInfo": info("new", "new"), "RootRotationInProgress": False}
    assert shown(over, info("old new", "new"), info("new", "new")) == (False, [(2, 2), (1, 2)])
    assert shown(over, info("new", "new"), info("new", "new")) == (True, [(2, 2), (2, 2)])


def test_a_node_that_has_said_nothing_yet_is_waited_for() -> None:
    over = {"TLSInfo": info("new", "new"), "RootRotationInProgress": False}
    assert progress(over, [{}])[0] is False
