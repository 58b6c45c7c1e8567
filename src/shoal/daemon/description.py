"""What a node says of its machine to the swarm."""

from shoal.engine.facts import Facts
from shoal.objects.node import EngineDescription, EnginePlugin, NodeDescription, NodeResources, Platform
from shoal.pki.files import NodeFiles
from shoal.pki.identity import tls_info
from shoal.version import VERSION

_PLUGINS = (
    ("Log", "json-file"),
    ("Network", "bridge"),
    ("Network", "host"),
    ("Network", "null"),
    ("Network", "overlay"),
    ("Volume", "local"),
)


def describe(facts: Facts, held: NodeFiles) -> NodeDescription:
    """The machine, its engine, and the authority that it trusts."""
    return NodeDescription(
        hostname=facts.hostname,
        platform=Platform(architecture=facts.machine, os="linux"),
        resources=NodeResources(nano_cpus=facts.cpus * 1_000_000_000, memory_bytes=facts.memory),
        engine=EngineDescription(
            engine_version=VERSION,
            labels=dict(facts.labels) or None,
            plugins=[EnginePlugin(type=kind, name=name) for kind, name in _PLUGINS],
        ),
        tls_info=tls_info(held.root, held.certificate),
    )
