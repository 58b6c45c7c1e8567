#!/usr/bin/env bash
# Makes what a checkout needs, and nothing twice.
#   tools/setup.sh build    .venv with shoal in it, and the programs that shoald calls
#   tools/setup.sh dev      that, and what the checks and the tests need
#   tools/setup.sh bench    the peer that make bench compares with
# A program counts as there when it is on PATH, whoever brought it; what is missing comes from Debian's packages, and
# none of their services is started, now or at the next boot. One that runs already is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# program:package
BUILD_PROGRAMS="containerd:containerd runc:runc nft:nftables ip:iproute2 brctl:bridge-utils ping:iputils-ping curl:curl
  sysctl:procps etcd:etcd-server"
DEV_PROGRAMS="docker-registry:docker-registry busybox:busybox-static dig:bind9-dnsutils"
BENCH_PROGRAMS="dockerd:docker.io iptables:iptables"
# Debian's own client, 20.10 in Debian 12: the tests hold it to work beside the one on PATH.
DEBIAN_CLIENT=build/debian/docker
# The services that these packages bring.
UNITS="containerd.service docker.service docker.socket docker-registry.service etcd.service"
POLICY=/usr/sbin/policy-rc.d
MARK="# Written by Shoal's tools/setup.sh while it installs packages, and removed again."

say() { echo "setup: $*" >&2; }

die() {
  say "$*"
  exit 1
}

# The packages among program:package pairs whose program is not there.
missing() {
  local pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || echo "${pair#*:}"
  done
}

# policy-rc.d is what Debian's packages ask before they start a service. A machine may have its own: it comes back.
guard() {
  unguard
  if [ -e "$POLICY" ] || [ -L "$POLICY" ]; then mv "$POLICY" "$POLICY.before-shoal"; fi
  trap unguard EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
  chmod 755 "$POLICY"
}

# Also clears up after a run that was killed.
unguard() {
  if grep -qsxF "$MARK" "$POLICY"; then rm -f "$POLICY"; fi
  if [ -e "$POLICY.before-shoal" ] || [ -L "$POLICY.before-shoal" ]; then mv "$POLICY.before-shoal" "$POLICY"; fi
}

has_unit() { [ -e "/lib/systemd/system/$1" ] || [ -e "/etc/systemd/system/$1" ]; }

apt_install() {
  local unit new_units=""
  [ $# -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "these programs' packages are missing, and there is no apt-get here: $*"
  [ "$(id -u)" = 0 ] || die "run this as root, or: apt-get install $*"
  say "installing $*"
  for unit in $UNITS; do has_unit "$unit" || new_units="$new_units $unit"; done
  # Another checkout's setup may be at it, with the same guard.
  exec 9</var/lib/dpkg && flock 9
  guard
  apt_run "$@" || { apt-get -qq update && apt_run "$@"; } || die "cannot install $*"
  unguard
  exec 9<&-
  for unit in $new_units; do
    if has_unit "$unit"; then keep_off "$unit"; fi
  done
}

# For a unit that these packages brought: shoald has its own containerd, the tests their own registry. This is what
# systemctl disable does, which is not there on every Debian.
keep_off() {
  rm -f /etc/systemd/system/*.wants/"$1"
  if [ -e "/etc/init.d/${1%.*}" ]; then update-rc.d "${1%.*}" disable >/dev/null 2>&1 || true; fi
}

apt_run() {
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Use-Pty=0 install "$@" >/dev/null </dev/null
}

# The client alone where Debian has it so (from 13 on), else with the daemon, which stays off.
docker_package() {
  apt-cache show docker-cli >/dev/null 2>&1 || apt-get -qq update >/dev/null 2>&1 || true
  if apt-cache show docker-cli >/dev/null 2>&1; then echo docker-cli; else echo docker.io; fi
}

# Debian's client as a file of this checkout: the installed one, else out of its package, which is not installed for it:
# that would bring a daemon, and a second client on PATH.
debian_client() {
  local package
  [ ! -x "$DEBIAN_CLIENT" ] || return 0
  mkdir -p "${DEBIAN_CLIENT%/*}"
  if dpkg-query -S /usr/bin/docker 2>/dev/null | grep -qE '^docker(\.io|-cli): '; then
    ln -sfn /usr/bin/docker "$DEBIAN_CLIENT"
    return
  fi
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    die "the tests need Debian's docker client, and there is no apt-get here: put a docker 20.10 at $DEBIAN_CLIENT"
  package=$(docker_package)
  say "fetching the client of $package to $DEBIAN_CLIENT"
  unpack_client "$package" || { apt-get -qq update && unpack_client "$package"; } ||
    die "cannot fetch $package, whose docker client the tests need: let this machine reach Debian's archive once, or" \
      "put a docker 20.10 at $DEBIAN_CLIENT"
}

# The client alone comes into its place, and whole.
unpack_client() {
  local work deb
  rm -rf "${DEBIAN_CLIENT%/*}"/work.*
  work=$(mktemp -d "${DEBIAN_CLIENT%/*}/work.XXXXXX")
  # apt's own user can't write here; apt would say so, and go on as root.
  if (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$1") && deb=$(echo "$work"/*.deb) &&
    dpkg-deb -x "$deb" "$work/tree"; then
    mv -f "$work/tree/usr/bin/docker" "$DEBIAN_CLIENT"
  fi
  rm -rf "$work"
  [ -x "$DEBIAN_CLIENT" ]
}

usable_python() {
  "$1" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
  local python
  for python in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
    if usable_python "$python"; then
      command -v "$python"
      return
    fi
  done
  return 1
}

make_venv() {
  local python
  if ! python=$(find_python); then
    apt_install python3 python3-venv
    python=$(find_python) || die "Python 3.11 or newer is needed, with venv and ensurepip"
  fi
  rm -rf .venv
  "$python" -m venv .venv
}

# What an installation depends on: these files, and where the checkout is.
fingerprint() {
  {
    pwd
    find src -name '*.proto' -print0 | sort -z | xargs -0r cat pyproject.toml setup.py src/shoal/version.py
  } | sha256sum
}

# pip_install STAMP REQUIREMENT: pip, unless the stamp says that it has been done just so.
pip_install() {
  local stamp=.venv/$1 now
  now=$(fingerprint)
  if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$now" ] && [ -x .venv/bin/shoald ] &&
    [ -e src/shoal/container/containerd/pb/__init__.py ] && [ -e src/shoal/store/etcd/pb/__init__.py ] &&
    .venv/bin/python -c '' 2>/dev/null; then
    return
  fi
  .venv/bin/python -c 'import pip' 2>/dev/null || make_venv
  say "installing shoal and its dependencies into .venv"
  rm -f .venv/.built .venv/.built-dev
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$2"
  echo "$now" >"$stamp"
  # The larger installation has the smaller one in it.
  if [ "$1" = .built-dev ]; then echo "$now" >.venv/.built; fi
}

exec 8<. && flock 8
# shellcheck disable=SC2046,SC2086 # package names are words
case "${1:-}" in
build)
  apt_install $(missing $BUILD_PROGRAMS)
  pip_install .built .
  ;;
dev)
  apt_install $(missing $BUILD_PROGRAMS $DEV_PROGRAMS) $(command -v docker >/dev/null || docker_package)
  debian_client
  pip_install .built-dev '.[dev]'
  ;;
bench)
  apt_install $(missing $BENCH_PROGRAMS)
  ;;
*)
  die "usage: tools/setup.sh build|dev|bench"
  ;;
esac
