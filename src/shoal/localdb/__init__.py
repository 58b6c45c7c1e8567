"""What a node must still know after a restart: its containers, volumes, leases, its last snapshot.

The one noun is :class:`~shoal.localdb.localdb.LocalDB`, a file of typed objects by kind and key. A kind is a plain word
(``container``, ``assignment``) that belongs to the one package that writes it; the type is named on loading, so this
package knows nobody's objects.

``engine``, ``container`` and ``agent`` use it; ``daemon`` opens and closes it. It calls SQLite, on a thread of its own,
and msgspec; of Shoal only ``errors``.

It must not hold what the swarm's managers know (that is ``store``'s, with revisions and watches), must not interpret
what it keeps, and never starts afresh over a file that it cannot read: a node that has forgotten its containers does
more harm than one that says why it does not start.
"""
