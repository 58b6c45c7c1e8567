"""containerd, spoken to through its gRPC API, and our own instance of it looked after.

``supervisor`` starts and keeps containerd; ``client`` is one connection and one containerd namespace;
``rpc`` says what a call is and turns gRPC's errors into ours. Then a module a noun of containerd's: ``content``
(blobs), ``images`` (names), ``snapshots`` (layers and writable tops), ``unpack`` (a layer's blob to a snapshot),
``leases`` (holding off the collector), ``events`` and ``runtime`` (containers, tasks, processes).

``daemon`` constructs; ``engine`` calls, and knows only the Protocol in ``shoal.container.runtime``. ``pb`` is compiled
from ``proto`` at build time and never leaves this package: nothing outside sees a protobuf message or a gRPC error.
containerd 1.6 is what Debian has; only what 1.7 and 2.x still answer is used.
"""
