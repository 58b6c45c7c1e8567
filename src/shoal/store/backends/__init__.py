"""Where a store's transactions are kept: one module a technology, all of them held to one conformance suite.

``memory`` forgets, ``sqlite`` is the embedded default of a single manager, ``etcd`` is shared by several.
"""
