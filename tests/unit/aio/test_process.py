"""What a program that we start finds around it."""

import asyncio
from pathlib import Path

import pytest

from shoal.aio.process import Process


def test_only_we_speak_to_our_service_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    log = tmp_path / "log"

    async def body() -> None:
        process = Process.spawn(["env"], log=log)
        await process.ended()
        process.close()

    asyncio.run(body())
    names = {line.partition("=")[0] for line in log.read_text().splitlines()}
    assert "NOTIFY_SOCKET" not in names
    assert {"HTTPS_PROXY", "PATH"} <= names
