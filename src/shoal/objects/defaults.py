"""SwarmKit's defaults for what a spec leaves unsaid; the spec itself stays as the user sent it."""

from datetime import timedelta

from shoal.objects.service import UpdateConfig

RESTART_DELAY = timedelta(seconds=5)
STOP_GRACE = timedelta(seconds=10)
TASK_HISTORY = 5
HEARTBEAT_NANOSECONDS = 5_000_000_000
NODE_CERT_NANOSECONDS = 90 * 24 * 3600 * 1_000_000_000
UPDATE = UpdateConfig(
    parallelism=1, failure_action="pause", monitor=5_000_000_000, max_failure_ratio=0, order="stop-first"
)
# In bytes; what every link that carries IPv4 takes (RFC 791).
LEAST_MTU = 576
# A manager's port is followed by its etcd's, three further.
PEER_OFFSET = 3
MOST_PORT = 65535 - PEER_OFFSET
