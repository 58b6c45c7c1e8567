"""``shoal lab``: several machines on this one, each of which believes to be a machine of its own.

Its nouns: a lab (a folder, a name, a swarm), a host (namespaces, a /run, a cgroup, a folder, a shoald), the underlay (a
network namespace with the bridge that joins the hosts), a cut (frames that no longer get from one host to another).

:mod:`state` is what is planned and kept in the lab's one JSON file, :mod:`underlay` and :mod:`cgroups` what is in the
kernel, :mod:`host` and :mod:`lab` what can be done; :mod:`swarm` makes a swarm of the hosts through their API.

What is to be made is written down before any of it is, by names that follow from the lab's; what there is, is asked of
the kernel each time. So every command works from any process, and ``down`` removes what any half of an ``up`` made.

Called by the command line and by tests. It calls ``client``, ``kernel`` and what is below them, and the programs of
util-linux and iproute2; of shoald it knows the flags and the API, like any user. Everything here blocks.
"""
