"""Shoal: a Docker-Swarm-compatible container engine and orchestrator, with the Linux kernel as its data plane.

The folders, from the top: ``cli`` (speaks HTTP only) and ``daemon`` (the only place that wires) stand over ``api``,
``manager``, ``agent`` and ``observe``; those over ``engine``; that over ``container`` and ``network``; those over
``kernel``, ``store``, ``localdb`` and ``pki``; all of them over ``wire``, ``objects``, ``aio`` and ``errors``.
``docs/ARCHITECTURE.md`` follows one request through them.
"""
