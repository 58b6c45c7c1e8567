"""A node's network as data: described, observed, compared, applied.

:mod:`~shoal.network.node` says what the node's containers, networks and services want; :mod:`~shoal.network.describe`
turns that, purely, into :mod:`~shoal.network.items` (namespaces, links, addresses, routes, rules, neighbours, FDB
entries, nft tables, sysctls); :mod:`~shoal.network.observe` reads the same items back from the kernel;
:mod:`~shoal.network.plan` is the ordered list of operations between the two, and :mod:`~shoal.network.apply` carries
it out. :mod:`~shoal.network.reconciler` is the one door to all that. Set-up, teardown, repair and ``shoal topology``
are this one mechanism. :mod:`~shoal.network.watch` hears what others do to it, :mod:`~shoal.network.marks` says what is
ours. ``dns`` answers names inside the sandboxes.

The engine calls it. It calls ``kernel``; ``dns`` speaks in the keeper's messages (``wire``). It never hears of
managers.
"""
