"""Who a node is, and how it proves it: the swarm's own certificate authority, certificates, join tokens, TLS contexts.

The nouns: a :class:`~shoal.pki.authority.RootCA` signs what nodes ask for; a node's certificate says its
:class:`~shoal.pki.identity.NodeIdentity` (CN the node's id, OU swarm-manager or swarm-worker, O the swarm's id); a
:class:`~shoal.pki.tokens.JoinToken` pins the root certificate by its digest and carries the secret that lets a new node
in as a worker or as a manager; ``files`` keeps a node's three files on disk; ``contexts`` makes the SSLContexts of the
swarm's port and of the daemon's tcp:// sockets.

``manager.found`` and ``manager.control`` call it on managers, ``daemon`` on every node and for the API over TLS. It
calls the ``cryptography`` library, of which it is the only importer, and ``ssl``; of Shoal only ``objects`` and
``errors``.

It must not open sockets, read the clock (``now`` is a parameter) or know the store. Certificates and keys travel as
PEM bytes, so that no caller needs ``cryptography``'s types. Everything here is quick (a signature takes well under a
millisecond, a file a few), so nothing is a coroutine.
"""
