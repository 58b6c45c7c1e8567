"""Containers on this node: what one is, and the runtime that has it.

The nouns: ``SpecInput`` (what a container shall be, resolved: no names, no images) becomes an ``OciSpec``
(``ocispec``, with ``oci``, ``capabilities``, ``seccomp``, ``user``: all pure); ``Runtime`` (a Protocol, in ``runtime``)
makes containers from it, starts tasks, execs processes, says how they ended; ``containerd`` implements that.
``cgroups`` reads what a container uses, ``rootfs`` a file out of one without mounting it, ``devices`` the host's device
nodes. ``registry`` and ``archive`` bring and take images.

``engine`` calls; this package calls containerd, registries and the kernel's cgroup files, and knows neither networks
(a network namespace is a path here) nor tasks of the swarm nor the Engine API's objects.
"""
