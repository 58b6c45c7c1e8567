"""The swarm's state: revisioned objects, transactions and watches. The manager's loops meet here and nowhere else.

:class:`~shoal.store.store.Store` keeps every object decoded in memory and writes each transaction through a
:class:`~shoal.store.backend.Backend` before anybody can see it. A transaction is a synchronous closure over a
:class:`~shoal.store.tx.Tx`; it is run again where another manager's, in a store that shares the backend, came first.
What changed, here or there, goes out to the watchers as one batch of :class:`~shoal.store.tx.Event` a transaction, in
the order of the revisions. :mod:`~shoal.store.election` says which manager runs the loops.

Only ``manager`` (and the wiring in ``daemon``) may open a store.
"""
