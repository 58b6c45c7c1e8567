"""The SSLContexts: of the managers' swarm port, of the nodes that call it, of the daemon's tcp:// sockets.

Within the swarm no host name counts, and no public authority: a peer is trusted because the swarm's root signed its
certificate, and it is what the certificate says. A manager's certificate has the DNS name ``swarm-manager``, so a
client that connects with ``server_hostname=MANAGER_NAME`` (asyncio's and aiohttp's parameter) is refused by anything
but a manager in the handshake itself. A server looks at :func:`peer_identity` and asks it for the role it needs.
"""

import ssl
from pathlib import Path
from typing import Any

from shoal.errors import InvalidArgument, Unauthorized
from shoal.pki.files import CERTIFICATE_FILE, KEY_FILE, ROOT_FILE
from shoal.pki.identity import NodeIdentity, identity
from shoal.pki.telling import TellingContext


def swarm_server(folder: Path, *, require_certificate: bool = True) -> "FolderContext":
    """For the managers' port, with the node's files in ``folder`` (see :mod:`shoal.pki.files`).

    Without ``require_certificate`` a node that has none yet is let in too, to ask for the root or for a certificate; a
    certificate that is shown must still be the swarm's. After a renewal, :func:`reload` makes new connections use it.
    """
    context = FolderContext.of(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED if require_certificate else ssl.CERT_OPTIONAL
    reload(context, folder)
    return context


def swarm_client(folder: Path) -> "FolderContext":
    """For a node that calls a manager; connect with ``server_hostname=MANAGER_NAME``."""
    context = FolderContext.of(ssl.PROTOCOL_TLS_CLIENT)
    reload(context, folder)
    return context


class FolderContext(ssl.SSLContext):
    """A node's files as they were when they were last loaded (:func:`reload`).

    OpenSSL's contexts take another certificate, but never cease to trust a root: so each loading makes a new one, and
    this one only says which is the present one. For asyncio, which comes by :meth:`wrap_bio`.
    """

    present: ssl.SSLContext

    @classmethod
    def of(cls, protocol: int) -> "FolderContext":
        """One that has loaded nothing yet."""
        context = cls(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def wrap_bio(self, *args: Any, **named: Any) -> ssl.SSLObject:
        """A connection by the files that were loaded last."""
        return self.present.wrap_bio(*args, **named)


def joining_client(root: bytes) -> ssl.SSLContext:
    """For a node that has the root certificate (PEM) and no own one; connect with ``server_hostname=MANAGER_NAME``."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=root.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise InvalidArgument(f"invalid root certificate: {error}") from error
    return context


def untrusting_client() -> ssl.SSLContext:
    """For fetching the root certificate, and nothing else: it checks nothing, the join token's digest does."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def reload(context: FolderContext, folder: Path) -> None:
    """Use the node's files as they are now for every connection made from here on. Raises :class:`InvalidArgument`."""
    fresh = _context(context.protocol)
    fresh.verify_mode = context.verify_mode
    _load(fresh, cert=folder / CERTIFICATE_FILE, key=folder / KEY_FILE, ca=folder / ROOT_FILE)
    context.present = fresh


def peer_identity(tls: ssl.SSLObject | ssl.SSLSocket) -> NodeIdentity:
    """Who is at the other end of a connection; raises :class:`Unauthorized` if it showed no certificate.

    ``tls`` is the transport's extra info ``ssl_object``. Raises :class:`Forbidden` for a certificate that is no node's.
    """
    certificate = tls.getpeercert(binary_form=True)
    if certificate is None:
        raise Unauthorized("the request needs a node's certificate")
    return identity(certificate)


def api_server(*, cert: Path, key: Path, ca: Path | None, verify: bool) -> ssl.SSLContext:
    """For the daemon's tcp:// sockets: ``--tlscert``, ``--tlskey``, and with ``--tlsverify`` clients signed by ``ca``.

    Raises :class:`InvalidArgument` for files that are missing or broken.
    """
    context = TellingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if verify and ca is None:
        raise InvalidArgument("--tlsverify needs --tlscacert, the authority of the clients' certificates")
    _load(context, cert=cert, key=key, ca=ca if verify else None)
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, *, cert: Path | None, key: Path | None, ca: Path | None) -> None:
    try:
        if cert is not None:
            _check_readable(cert, key)
            context.load_cert_chain(cert, key)
    except OSError as error:
        raise InvalidArgument(f"could not load X509 key pair (cert: {cert}, key: {key}): {_words(error)}") from error
    try:
        if ca is not None:
            context.load_verify_locations(cafile=ca)
    except OSError as error:
        raise InvalidArgument(f"could not read CA certificate {ca}: {_words(error)}") from error


def _check_readable(*paths: Path | None) -> None:
    """Raises OSError with the file's name, which OpenSSL keeps to itself."""
    for path in paths:
        if path is not None:
            path.open("rb").close()


def _words(error: OSError) -> str:
    """What is wrong, without OpenSSL's own codes and places."""
    if isinstance(error, ssl.SSLError):
        return str(error).rpartition("] ")[2].partition(" (_ssl")[0]
    reason = (error.strerror or str(error)).lower()
    return f"open {error.filename}: {reason}" if error.filename else reason
