"""A node's certificates on disk: ``<data-root>/swarm/certificates``.

``swarm-root-ca.crt`` and ``swarm-node.crt`` are readable by all, ``swarm-node.key`` by root alone. Each file is
replaced in one step. Key and certificate change together, which takes two steps: the new pair is first complete on disk
under names that end in ``.new``, and a start that finds the key renamed and the certificate not finishes the job.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from shoal.durable import files as durable
from shoal.durable.faults import refusal
from shoal.errors import Internal, InvalidArgument, NotFound
from shoal.pki.pem import key_matches, parse_certificate

ROOT_FILE = "swarm-root-ca.crt"
CERTIFICATE_FILE = "swarm-node.crt"
KEY_FILE = "swarm-node.key"


@dataclass(frozen=True)
class NodeFiles:
    """What a node holds, all PEM: the trusted roots, which are more than one while the swarm changes from one to
    another, its own certificate and the certificate's key."""

    root: bytes
    certificate: bytes
    key: bytes = field(repr=False)


def certificates_folder(data_root: Path) -> Path:
    """Where the three files are under the daemon's data root."""
    return data_root / "swarm" / "certificates"


def save(folder: Path, files: NodeFiles) -> None:
    """Write all three, durably; the folder (mode 0700) is made if needed. Raises :class:`NoRoom`,
    :class:`Internal`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        durable.write_new(folder / f"{ROOT_FILE}.new", files.root, 0o644)
        durable.write_new(folder / f"{CERTIFICATE_FILE}.new", files.certificate, 0o644)
        durable.write_new(folder / f"{KEY_FILE}.new", files.key, 0o600)
        durable.sync_folder(folder)
        for name in (ROOT_FILE, KEY_FILE, CERTIFICATE_FILE):
            os.replace(folder / f"{name}.new", folder / name)
        durable.sync_folder(folder)
    except OSError as error:
        raise refusal(f"cannot write the node's certificates to {folder}", error, folder) from error


def load(folder: Path) -> NodeFiles:
    """Read all three. Raises :class:`NotFound` if there are none, :class:`Internal` if they are broken."""
    try:
        files = NodeFiles(
            root=(folder / ROOT_FILE).read_bytes(),
            certificate=(folder / CERTIFICATE_FILE).read_bytes(),
            key=(folder / KEY_FILE).read_bytes(),
        )
        parse_certificate(files.root)
        if key_matches(files.key, files.certificate):
            return files
        return _finish(folder, files)
    except FileNotFoundError as error:
        raise NotFound(f"this node has no swarm certificate: {error.filename} is missing") from error
    except OSError as error:
        raise Internal(f"cannot read the node's certificates: {error}") from error
    except InvalidArgument as error:
        raise Internal(f"the node's certificates in {folder} are broken: {error}") from error


def _finish(folder: Path, files: NodeFiles) -> NodeFiles:
    """Complete a replacement that was cut off between the key and the certificate."""
    pending = folder / f"{CERTIFICATE_FILE}.new"
    if not pending.exists() or not key_matches(files.key, certificate := pending.read_bytes()):
        raise Internal(f"the node's certificates in {folder} are broken: the key is not the certificate's")
    os.replace(pending, folder / CERTIFICATE_FILE)
    durable.sync_folder(folder)
    return NodeFiles(root=files.root, certificate=certificate, key=files.key)
