"""The flags that ``run`` and ``create`` share."""

from shoal.cli.command import Flag, Kind
from shoal.cli.kinds import (
    BYTES,
    DECIMAL,
    DURATION,
    ENVIRONMENT,
    INT,
    LIST,
    MAP,
    PAIRS,
    STRING,
    UINT16,
    switch,
    text_flag,
)
from shoal.cli.mounts import parse_device, parse_mount, parse_ulimit
from shoal.cli.networks import parse_attachment
from shoal.errors import InvalidArgument

MOUNT = Kind("mount", parse_mount, many=True)
NETWORK = Kind("network", parse_attachment, many=True)
ULIMIT = Kind("ulimit", parse_ulimit, many=True)
DEVICE = Kind("list", parse_device, many=True)


def parse_stream(text: str) -> str:
    """One of the standard streams, for ``--attach``."""
    if text.lower() not in ("stdin", "stdout", "stderr"):
        raise InvalidArgument("valid streams are STDIN, STDOUT and STDERR")
    return text.lower()


STREAM = Kind("list", parse_stream, many=True)

CONTAINER_FLAGS = (
    Flag("add-host", LIST, "Add a line to the container's hosts file (host:ip)"),
    Flag("attach", STREAM, "Attach to STDIN, STDOUT or STDERR", "a"),
    Flag("blkio-weight", UINT16, "Relative weight of block I/O, 10 to 1000; 0 to disable", shown="0"),
    Flag("blkio-weight-device", LIST, "Relative weight of block I/O on a device", shown="[]"),
    Flag("cap-add", LIST, "Add Linux capabilities"),
    Flag("cap-drop", LIST, "Drop Linux capabilities"),
    text_flag("cgroup-parent", "Parent cgroup of the container's"),
    text_flag("cgroupns", "Cgroup namespace: 'host' or 'private'; the daemon's default otherwise"),
    text_flag("cidfile", "Write the container's ID to this file"),
    Flag("cpu-period", INT, "Period of the CPU quota, in microseconds"),
    Flag("cpu-quota", INT, "CPU time in each period, in microseconds"),
    Flag("cpu-rt-period", INT, "Period of the realtime quota, in microseconds"),
    Flag("cpu-rt-runtime", INT, "Realtime CPU time in each period, in microseconds"),
    Flag("cpu-shares", INT, "Relative weight of CPU time", "c"),
    Flag("cpus", DECIMAL, "Number of CPUs, such as 1.5"),
    text_flag("cpuset-cpus", "CPUs to run on (0-3, 0,1)"),
    text_flag("cpuset-mems", "Memory nodes to use (0-3, 0,1)"),
    Flag("device", DEVICE, "Add a device of the host"),
    Flag("device-cgroup-rule", LIST, "Add a rule to the devices that the container may use"),
    Flag("device-read-bps", LIST, "Limit reading from a device, in bytes a second", shown="[]"),
    Flag("device-read-iops", LIST, "Limit reading from a device, in operations a second", shown="[]"),
    Flag("device-write-bps", LIST, "Limit writing to a device, in bytes a second", shown="[]"),
    Flag("device-write-iops", LIST, "Limit writing to a device, in operations a second", shown="[]"),
    switch("disable-content-trust", "Accepted for compatibility: images are not verified", default=True, shown="true"),
    Flag("dns", LIST, "DNS servers"),
    Flag("dns-option", LIST, "DNS options"),
    Flag("dns-search", LIST, "Domains to search for names"),
    text_flag("domainname", "NIS domain name"),
    Flag("entrypoint", STRING, "Replace the image's entry point"),
    Flag("env", ENVIRONMENT, "Set environment variables", "e"),
    Flag("env-file", LIST, "Read environment variables from a file"),
    Flag("expose", LIST, "Expose a port or a range of ports"),
    Flag("gpus", Kind("gpu-request", str), "GPUs to add ('all' for every one)"),
    Flag("group-add", LIST, "Join more groups"),
    text_flag("health-cmd", "Command that checks the container's health"),
    Flag("health-interval", DURATION, "Time between two checks (ms|s|m|h)", shown="0s"),
    Flag("health-retries", INT, "Failures in a row that make the container unhealthy"),
    Flag("health-start-period", DURATION, "Time to start in before failures count (ms|s|m|h)", shown="0s"),
    Flag("health-timeout", DURATION, "Longest time one check may take (ms|s|m|h)", shown="0s"),
    text_flag("hostname", "Host name of the container", "h"),
    switch("init", "Run an init that forwards signals and reaps processes"),
    switch("interactive", "Keep STDIN open even if not attached", "i"),
    text_flag("ip", "IPv4 address (e.g., 172.30.100.104)"),
    text_flag("ip6", "IPv6 address (e.g., 2001:db8::33)"),
    text_flag("ipc", "IPC namespace to use"),
    text_flag("isolation", "Isolation technology"),
    Flag("kernel-memory", BYTES, "Kernel memory limit"),
    Flag("label", PAIRS, "Set metadata on the container", "l"),
    Flag("label-file", LIST, "Read labels from a file"),
    Flag("link", LIST, "Link to another container"),
    Flag("link-local-ip", LIST, "Link-local addresses"),
    text_flag("log-driver", "Logging driver"),
    Flag("log-opt", PAIRS, "Options of the logging driver"),
    text_flag("mac-address", "MAC address (e.g., 92:d0:c6:0a:29:33)"),
    Flag("memory", BYTES, "Memory limit", "m"),
    Flag("memory-reservation", BYTES, "Soft memory limit"),
    Flag("memory-swap", BYTES, "Limit of memory and swap together: '-1' for no limit"),
    Flag("memory-swappiness", INT, "Inclination to swap, 0 to 100", default=-1, shown="-1"),
    Flag("mount", MOUNT, "Mount a file system"),
    text_flag("name", "Name of the container"),
    Flag("network", NETWORK, "Connect to a network"),
    Flag("net", NETWORK, "Connect to a network", hidden=True),
    Flag("network-alias", LIST, "Add an alias on the network"),
    Flag("net-alias", LIST, "Add an alias on the network", hidden=True),
    switch("no-healthcheck", "Disable the image's health check"),
    switch("oom-kill-disable", "Do not kill when memory runs out"),
    Flag("oom-score-adj", INT, "Preference when memory runs out (-1000 to 1000)"),
    text_flag("pid", "PID namespace to use"),
    Flag("pids-limit", INT, "Limit of processes (-1 for none)"),
    text_flag("platform", "Platform, when the daemon has several"),
    switch("privileged", "Give all privileges of the host"),
    Flag("publish", LIST, "Publish a port on the host", "p"),
    switch("publish-all", "Publish all exposed ports on ports of the daemon's choice", "P"),
    text_flag("pull", 'Pull the image before running: "always", "missing" or "never"', default="missing"),
    switch("quiet", "Do not show the pull's output", "q"),
    switch("read-only", "Mount the root file system read-only"),
    text_flag("restart", "When to restart the container", default="no"),
    switch("rm", "Remove the container and its anonymous volumes when it exits"),
    text_flag("runtime", "OCI runtime to use"),
    Flag("security-opt", LIST, "Security options"),
    Flag("shm-size", BYTES, "Size of /dev/shm"),
    text_flag("stop-signal", "Signal that stops the container"),
    Flag("stop-timeout", INT, "Seconds to wait for the container to stop"),
    Flag("storage-opt", PAIRS, "Options of the storage driver"),
    Flag("sysctl", MAP, "Kernel parameters", shown="map[]"),
    Flag("tmpfs", LIST, "Mount a tmpfs"),
    switch("tty", "Allocate a pseudo-TTY", "t"),
    Flag("ulimit", ULIMIT, "Resource limits", shown="[]"),
    switch("use-api-socket", "Mount the API's socket into the container"),
    text_flag("user", "User name or id (<name|uid>[:<group|gid>])", "u"),
    text_flag("userns", "User namespace to use"),
    text_flag("uts", "UTS namespace to use"),
    Flag("volume", LIST, "Mount a volume or a directory of the host", "v"),
    text_flag("volume-driver", "Driver of the container's volumes"),
    Flag("volumes-from", LIST, "Mount the volumes of other containers"),
    text_flag("workdir", "Working directory in the container", "w"),
)
