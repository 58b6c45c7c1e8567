"""Takes to each node what it is to be, and brings back what is observed there.

:mod:`~shoal.manager.dispatcher.snapshot` renders, purely, the set of resources that one node needs;
:mod:`~shoal.manager.dispatcher.dispatcher` keeps a session a node, sends the differences under a version and writes
reported states into the store; :mod:`~shoal.manager.dispatcher.server` is the port that nodes dial, behind mutual TLS.
A node is told, it never asks: between two versions nothing is requested.
"""
