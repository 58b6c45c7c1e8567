import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from shoal.daemon import membership
from shoal.daemon.membership import Membership
from shoal.errors import Damaged
from shoal.manager.cluster import trust_bundle
from shoal.manager.found import FoundingRequest, found, issue
from shoal.manager.rotation import advanced, begin
from shoal.objects.cluster import Cluster
from shoal.objects.node import Node
from shoal.pki import files
from shoal.pki.authority import RootCA
from shoal.store.tables import Tables
from shoal.store.tx import TableView

MEMBER = Membership(node_id="n1", listen="0.0.0.0:2377", advertise="192.0.2.1:2377", data_path="192.0.2.1")


def written(folder: Path) -> Path:
    folder.mkdir()
    membership.write(folder, MEMBER)
    return folder / membership.FILE


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert membership.read(tmp_path / "swarm") is None
    path = written(tmp_path / "swarm")
    found = membership.read(tmp_path / "swarm")
    assert found is not None and found.advertise == MEMBER.advertise and found.sum
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_each_cut_and_each_flipped_bit_is_found(tmp_path: Path) -> None:
    path = written(tmp_path / "swarm")
    good, rng = path.read_bytes(), random.Random(1)
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(Damaged, match=r"membership\.json cannot be trusted"):
            membership.read(tmp_path / "swarm")
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with pytest.raises(Damaged):
            membership.read(tmp_path / "swarm")


def test_a_folder_that_lost_it_is_not_taken_for_no_swarm(tmp_path: Path) -> None:
    written(tmp_path / "swarm").unlink()
    assert membership.read(tmp_path / "swarm") is None
    (tmp_path / "swarm" / "state.db").touch()
    with pytest.raises(Damaged, match="is missing"):
        membership.read(tmp_path / "swarm")


def test_a_folder_comes_and_goes_in_one_step(tmp_path: Path) -> None:
    folder = tmp_path / "swarm"
    fresh = membership.making(folder)
    fresh.mkdir()
    membership.write(fresh, MEMBER)
    assert membership.read(folder) is None
    membership.appear(folder)
    assert membership.read(folder) is not None
    membership.making(folder).mkdir()
    membership.vanish(folder)
    assert list(tmp_path.iterdir()) == []
    membership.vanish(folder)


@pytest.mark.parametrize("name", ["swarm-node.crt", "swarm-node.key", "swarm-root-ca.crt"])
def test_certificates_with_a_flipped_bit_are_found_or_say_the_same(tmp_path: Path, name: str) -> None:
    founding = found(FoundingRequest(advertise=MEMBER.advertise), datetime.now(UTC))
    member = replace(MEMBER, node_id=founding.node_id)
    files.save(tmp_path / membership.CERTIFICATES, founding.files)
    membership.check_certificates(member, tmp_path)
    path, rng, refused = tmp_path / membership.CERTIFICATES / name, random.Random(7), 0
    good = path.read_bytes()
    for _ in range(150):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        try:
            membership.check_certificates(member, tmp_path)
        except Damaged:
            refused += 1
    assert refused > 120
    path.write_bytes(good)
    with pytest.raises(Damaged, match="are node"):
        membership.check_certificates(MEMBER, tmp_path)


def test_while_the_root_is_rotated_files_and_state_need_one_root_in_common(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    founding = found(FoundingRequest(advertise=MEMBER.advertise), now)
    member = replace(MEMBER, node_id=founding.node_id)
    old = next(obj for obj in founding.objects if isinstance(obj, Cluster))
    begun = begin(old, RootCA.create(now))
    assert begun.rotation is not None
    issuing = replace(begun, rotation=replace(begun.rotation, issues=True))
    over = advanced(issuing, [])
    assert over is not None

    def check(cluster: Cluster, held: files.NodeFiles) -> None:
        tables = Tables()
        for obj in (cluster, *(obj for obj in founding.objects if isinstance(obj, Node))):
            tables.put(obj)
        files.save(tmp_path / membership.CERTIFICATES, held)
        membership.check(member, tmp_path, TableView(tables))

    after = issue(issuing, founding.node_id, MEMBER.advertise, now)
    assert after.root == trust_bundle(begun).encode()
    for cluster in (old, begun):
        check(cluster, founding.files)
    for cluster in (begun, issuing, over):
        check(cluster, after)
    with pytest.raises(Damaged, match="another swarm's"):
        check(over, founding.files)
