import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shoal.errors import Internal, NotFound
from shoal.objects.ids import ClusterId, NodeId
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.files import NodeFiles, certificates_folder, load, save
from shoal.pki.identity import NodeIdentity

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ROOT = RootCA.create(NOW)


def _node_files() -> NodeFiles:
    key = new_key()
    certificate = ROOT.sign(request(key), NodeIdentity(NodeId("n"), "manager", ClusterId("c")), NOW)
    return NodeFiles(root=ROOT.certificate, certificate=certificate, key=key)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    folder = certificates_folder(tmp_path)
    assert folder == tmp_path / "swarm" / "certificates"
    for files in (_node_files(), _node_files()):
        save(folder, files)
        assert load(folder) == files
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"swarm-root-ca.crt": 0o644, "swarm-node.crt": 0o644, "swarm-node.key": 0o600}


def test_modes_hold_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        save(tmp_path, _node_files())
    finally:
        os.umask(before)
    assert (tmp_path / "swarm-node.crt").stat().st_mode & 0o777 == 0o644


def test_a_node_without_certificates_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no swarm certificate"):
        load(tmp_path)


def test_a_replacement_cut_off_halfway_is_finished(tmp_path: Path) -> None:
    old, new = _node_files(), _node_files()
    save(tmp_path, old)
    (tmp_path / "swarm-node.crt.new").write_bytes(new.certificate)
    assert load(tmp_path) == old, "the key is still the old one: nothing to finish"
    (tmp_path / "swarm-node.key").write_bytes(new.key)
    assert load(tmp_path) == new
    assert not (tmp_path / "swarm-node.crt.new").exists()
    assert load(tmp_path) == new


def test_broken_files_are_told(tmp_path: Path) -> None:
    save(tmp_path, _node_files())
    (tmp_path / "swarm-node.key").write_bytes(new_key())
    with pytest.raises(Internal, match="key is not the certificate's"):
        load(tmp_path)
    (tmp_path / "swarm-node.crt").write_bytes(b"")
    with pytest.raises(Internal, match="broken"):
        load(tmp_path)


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "swarm").write_text("a file, no folder")
    with pytest.raises(Internal, match="cannot write"):
        save(certificates_folder(tmp_path), _node_files())


def test_the_key_stays_out_of_logs() -> None:
    assert "PRIVATE" not in repr(_node_files())
