"""Waits until every node has a certificate of the swarm's new root and trusts no other, showing how many have."""

import hashlib
import time
from typing import TextIO

from shoal.cli.context import Context
from shoal.cli.progress import Display
from shoal.client.engine import Json

PAUSE = 0.2
ROOT, CERTIFICATES, ROOTS = "desired root digest", "  rotated TLS certificates", "  rotated CA certificates"


def wait_for_rotation(ctx: Context, stream: TextIO | None) -> None:
    """Return when the rotation is over; what is drawn goes to ``stream``, if anywhere."""
    display = Display(stream) if stream is not None else None
    shown: list[Json] = []
    while True:
        swarm, nodes = ctx.engine.get("/swarm"), ctx.engine.get("/nodes")
        done, lines = progress(swarm, nodes)
        for line in lines:
            if display is not None and line not in shown:
                display.show(line)
        shown = lines
        if done:
            return
        time.sleep(PAUSE)


def progress(swarm: Json, nodes: list[Json]) -> tuple[bool, list[Json]]:
    """Whether it is over, and the messages that say how far it is."""
    wanted = swarm["TLSInfo"]
    told = [(node.get("Description") or {}).get("TLSInfo") or {} for node in nodes]
    issuer = ("CertIssuerSubject", "CertIssuerPublicKey")
    issued = sum(all(info.get(key) == wanted.get(key) for key in issuer) for info in told)
    is_over = issued == len(nodes) and not swarm["RootRotationInProgress"]
    # Until then the root that is wanted is the old one, which all of them trust.
    trusting = sum(info.get("TrustRoot") == wanted["TrustRoot"] for info in told) if is_over else 0
    digest = hashlib.sha256(wanted["TrustRoot"].encode()).hexdigest()
    lines: list[Json] = [{"id": ROOT, "status": f"sha256:{digest}", "progressDetail": {}}]
    for name, count in ((CERTIFICATES, issued), (ROOTS, trusting)):
        lines.append(
            {"id": name, "status": "", "progressDetail": {"current": count, "total": len(nodes), "units": "nodes"}}
        )
    return is_over and trusting == len(nodes), lines
