"""A node's certificate over the months."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.fakes.clock import FakeClock

from shoal.aio.tasks import cancel, spawn
from shoal.daemon.renewal import Renewal
from shoal.objects.ids import ClusterId, NodeId
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.files import NodeFiles, load, save
from shoal.pki.identity import NodeIdentity, validity

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_certificate_is_renewed_once_and_in_time(tmp_path: Path) -> None:
    root = RootCA.create(START)

    def issue(now: datetime) -> NodeFiles:
        key = new_key()
        identity = NodeIdentity(NodeId("me"), "manager", ClusterId("cluster"))
        certificate = root.sign(request(key), identity, now, timedelta(days=90))
        return NodeFiles(root=root.certificate, certificate=certificate, key=key)

    async def issued(now: datetime) -> NodeFiles:
        return issue(now)

    async def main() -> None:
        clock = FakeClock()
        save(tmp_path, issue(START))
        renewal = Renewal(folder=tmp_path, issue=issued, issuer=str, clock=clock)
        renewed: list[int] = []
        for day in range(200):
            await clock.advance(86_400)
            if await renewal.look():
                renewed.append(day)
            assert validity(load(tmp_path).certificate)[1] > clock.now()
        # Of the 97 days that it holds with those before its time, half to four fifths, wherever chance puts it.
        gaps = [b - a for a, b in zip([-1, *renewed], [*renewed, 200], strict=True)]
        assert all(41 <= gap <= 71 for gap in gaps[:-1]) and gaps[-1] <= 71

    asyncio.run(main())


def test_the_shortest_certificates_are_renewed_too(tmp_path: Path) -> None:
    root = RootCA.create(START)

    async def issued(now: datetime) -> NodeFiles:
        key = new_key()
        identity = NodeIdentity(NodeId("me"), "worker", ClusterId("cluster"))
        certificate = root.sign(request(key), identity, now, timedelta(hours=1))
        return NodeFiles(root=root.certificate, certificate=certificate, key=key)

    async def main() -> None:
        clock = FakeClock()
        save(tmp_path, await issued(START))
        renewal = Renewal(folder=tmp_path, issue=issued, issuer=str, clock=clock)
        running = spawn(renewal.run(), name="renewal")
        for _ in range(300):
            await clock.advance(60)
            await asyncio.sleep(0.005)  # files are read and written in a thread
        await cancel(running)
        assert validity(load(tmp_path).certificate)[1] > clock.now()

    asyncio.run(main())
