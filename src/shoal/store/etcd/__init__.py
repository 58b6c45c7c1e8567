"""etcd, as the store uses it: its gRPC API in our own few messages (``proto/``, compiled into ``pb``), over grpcio.

``address`` is where it is and what is ours in it, ``client`` one connection that fails over between members and
translates errors, ``head`` the key that orders transactions, ``election`` leadership by a lease. What keeps a store's
transactions with it is ``shoal.store.backends.etcd``. It is for etcd 3.4 and later, and neither starts an etcd nor
looks after one.
"""
