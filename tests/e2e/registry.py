"""Debian's docker-registry in a machine, and the few requests that put an image into it.

python registry.py ARCHIVE URL NAME TAG [USER PASSWORD]      pushes an archive of ``docker save``
"""

import base64
import hashlib
import json
import sys
import tarfile
import urllib.request
from pathlib import Path

HTPASSWD = "u:$2y$12$aJpwyMEqIl7pbPihMxSVCOODSpck1OC0fzRwlqpHNg0smNmGdHiuC\n"  # of the password p
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def config(folder: Path, port: int, *, password: bool) -> Path:
    """Write a registry's configuration."""
    auth = ""
    if password:
        (folder / "htpasswd").write_text(HTPASSWD)
        auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {folder}/htpasswd\n"
    path = folder / "config.yml"
    path.write_text(
        f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {folder}/store\n"
        f"http:\n  addr: 127.0.0.1:{port}\n{auth}"
    )
    return path


def push(archive: Path, url: str, name: str, tag: str, auth: str | None) -> str:
    """Put the image in; the manifest's digest."""
    headers = {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"} if auth else {}

    def send(method: str, address: str, body: bytes = b"", kind: str = "application/octet-stream") -> str:
        request = urllib.request.Request(address, body, {**headers, "Content-Type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.headers.get("Location", ""))

    def blob(content: bytes, kind: str) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        upload = send("POST", f"{url}/v2/{name}/blobs/uploads/")
        send("PUT", f"{upload}{'&' if '?' in upload else '?'}digest={digest}", content)
        return {"mediaType": kind, "size": len(content), "digest": digest}

    with tarfile.open(archive) as tar:

        def member(path: str) -> bytes:
            file = tar.extractfile(path)
            assert file is not None
            return file.read()

        saved = json.loads(member("manifest.json"))[0]
        layers = [blob(member(path), "application/vnd.docker.image.rootfs.diff.tar") for path in saved["Layers"]]
        described = blob(member(saved["Config"]), "application/vnd.docker.container.image.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": layers}
    body = json.dumps(manifest).encode()
    send("PUT", f"{url}/v2/{name}/manifests/{tag}", body, MANIFEST)
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


if __name__ == "__main__":
    _, source, to, named, tagged, *rest = sys.argv
    sys.stdout.write(push(Path(source), to, named, tagged, ":".join(rest) or None) + "\n")
