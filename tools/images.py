"""Makes the images of the lab and the tests from Debian's own packages, where no registry can be asked.

    python tools/images.py --out DIR nginx busybox

writes ``DIR/nginx.tar`` and ``DIR/busybox.tar``, archives as ``docker save`` makes them, and says where they are. What
is there already is kept, as long as its recipe below has not changed. The packages are downloaded and unpacked, never
installed. The same packages give the same bytes: the entries are sorted, owned by root and of one fixed time.
"""

import argparse
import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_CREATED = "2024-01-01T00:00:00Z"
_MTIME = 1704067200
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the packages bring for a whole system, not for one program in a container.
_UNWANTED = (
    "etc/cron.daily", "etc/default", "etc/init.d", "etc/ld.so.conf.d", "etc/logrotate.d", "etc/nginx/modules-enabled",
    "etc/nginx/sites-available", "etc/nginx/sites-enabled", "etc/ufw", "lib/systemd", "usr/share/apport",
    "usr/share/bug", "usr/share/doc", "usr/share/doc-base", "usr/share/initramfs-tools", "usr/share/lintian",
    "usr/share/locale", "usr/share/man", "usr/share/vim",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How an image is made: packages unpacked, then files written and links made over them."""

    packages: Sequence[str]
    config: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Sequence[str] = ()


_USERS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nadm:x:4:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_FOLDERS = ("dev", "proc", "root", "run", "sys", "tmp", "var/tmp")

_NGINX_CONF = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                    '$status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for"';
    access_log /var/log/nginx/access.log main;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
"""
_NGINX_SITE = """\
server {
    listen 80;
    listen [::]:80;
    server_name localhost;
    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }
}
"""

RECIPES: Mapping[str, Recipe] = {
    "busybox": Recipe(
        packages=["busybox-static"],
        config={"Env": [_PATH], "Cmd": ["sh"]},
        files=_USERS,
        links={"var/run": "/run"},
        folders=_FOLDERS,
    ),
    "nginx": Recipe(
        packages=[
            "nginx",
            "nginx-common",
            "libc6",
            "libcrypt1",
            "libpcre2-8-0",
            "libssl3",
            "zlib1g",
            "busybox-static",
        ],  # fmt: skip
        config={
            "Env": [_PATH],
            "Cmd": ["nginx", "-g", "daemon off;"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        },
        files={**_USERS, "etc/nginx/nginx.conf": _NGINX_CONF, "etc/nginx/conf.d/default.conf": _NGINX_SITE},
        links={
            "var/run": "/run",
            "var/log/nginx/access.log": "/dev/stdout",
            "var/log/nginx/error.log": "/dev/stderr",
        },
        folders=(*_FOLDERS, "var/lib/nginx", "var/log/nginx"),
    ),
}


class CannotBuild(Exception):
    """The machine cannot make the image; the text says why."""


def build(name: str, out: Path) -> Path:
    """The archive of the image ``name`` in the folder ``out``, made if needed. Raises :class:`CannotBuild`."""
    archive, stamp = out / f"{name}.tar", out / f".{name}.recipe"
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    with _locked(out):
        if archive.exists() and stamp.exists() and stamp.read_text() == recipe:
            return archive
        stamp.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as scratch:
            made = Path(scratch) / "archive.tar"
            root = Path(scratch) / "root"
            _unpack(RECIPES[name].packages, Path(scratch), root)
            _finish(RECIPES[name], root)
            _write_archive(name, RECIPES[name], root, made)
            made.rename(archive)
        stamp.write_text(recipe)
    return archive


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Two that want the same images at once, as tests in parallel do, make them once."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unpack(packages: Sequence[str], scratch: Path, root: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise CannotBuild(f"images are made from Debian's packages, and there is no {tool} here")
    debs = scratch / "debs"
    debs.mkdir()
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
    try:
        _run(download, cwd=debs)
    except CannotBuild:
        # No package lists yet, or so old that the mirror has dropped what they name.
        _run(["apt-get", "-q", "update"], cwd=debs)
        _run(download, cwd=debs)
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(deb), str(root)], cwd=debs)


def _finish(recipe: Recipe, root: Path) -> None:
    for unwanted in _UNWANTED:
        shutil.rmtree(root / unwanted, ignore_errors=True)
    for gconv in root.glob("usr/lib/*/gconv"):
        shutil.rmtree(gconv)
    for folder in recipe.folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for sticky in ("tmp", "var/tmp"):
        (root / sticky).chmod(0o1777)
    for path, text in recipe.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        (root / path).chmod(0o644)
    for path, target in recipe.links.items():
        (root / path).symlink_to(target)
    _link_applets(root)


def _link_applets(root: Path) -> None:
    busybox = root / "bin/busybox"
    for applet in _run([str(busybox), "--list-full"], cwd=root).split():
        path = root / applet
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path):
            path.symlink_to("/bin/busybox")


def _write_archive(name: str, recipe: Recipe, root: Path, archive: Path) -> None:
    layer = archive.with_name("layer.tar")
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            tar.add(path, path.relative_to(root).as_posix(), recursive=False, filter=_plain)
    with open(layer, "rb") as file:
        layer_digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "created": _CREATED,
            "config": recipe.config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created": _CREATED, "created_by": f"Debian packages {' '.join(recipe.packages)}"}],
        },
        sort_keys=True,
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{layer_digest}/layer.tar"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [f"{name}:latest"], "Layers": [layer_name]}]).encode()
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(layer, layer_name, filter=_plain)
        for member, content in ((config_name, config), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            entry.mode = 0o644
            entry.mtime = _MTIME
            tar.addfile(entry, io.BytesIO(content))


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = _MTIME
    return entry


def _architecture() -> str:
    """Debian's names of architectures are Go's, with few exceptions."""
    debian = _run(["dpkg", "--print-architecture"], cwd=Path.cwd()).strip()
    return {"i386": "386", "armhf": "arm", "armel": "arm", "ppc64el": "ppc64le"}.get(debian, debian)


def _run(command: Sequence[str], cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        raise CannotBuild(f"{' '.join(command)}: {(result.stderr or result.stdout).strip()}")
    return result.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what the command line asks for; 1 and a sentence if the machine cannot."""
    parser = argparse.ArgumentParser(description="Make images from Debian's packages, as docker save archives.")
    parser.add_argument("--out", type=Path, required=True, help="the folder where archives are made and kept")
    parser.add_argument("names", nargs="+", choices=sorted(RECIPES), metavar="name", help=" or ".join(sorted(RECIPES)))
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        for name in options.names:
            sys.stdout.write(f"{build(name, options.out)}\n")
    except (CannotBuild, OSError) as error:
        sys.stderr.write(f"images: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
