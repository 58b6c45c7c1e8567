"""What has to be on disk, and to be proved when it is read back: the two databases and every file of state.

:class:`~shoal.durable.objectfile.ObjectFile` is an SQLite file of objects by kind and key that knows whether it can be
trusted; :mod:`~shoal.durable.salvage` gets out of one that cannot what can be proved; :mod:`~shoal.durable.files`
replaces other files as a whole; :mod:`~shoal.durable.faults` says what a disk's refusal means to a person. All of it
blocks: callers are on threads of their own.

``store``, ``localdb`` and ``pki`` call it, and ``daemon`` at the start. It knows nobody's objects, only bytes, and of
Shoal only ``errors``. Docs: adr/0006-state-that-is-trusted.md.
"""
