#!/bin/sh
# Sets up what the tests need and runs them.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
venv=$here/.venv
base_packages="python3-venv iproute2 nftables libnftables1 libseccomp2 busybox-static"
integration_packages="$base_packages crun curl debootstrap procps runc systemd"
bench_packages="$integration_packages wrk"

usage() {
    cat <<END
usage: ./test.sh [all | lint | unit | integration [PYTEST ARGS…]]
       ./test.sh bench [NAME…] [--quick] [--json FILE]
                                                  measures; the figures never make it fail
       ./test.sh chaos [--rounds N] [--seed S] [--only PART]
                                                  long runs: simulation, 5,000 simulated agents, kill -9 of a host, faults among
                                                  managers, false alarms on busy processors, kill -9 at every step of a start

  all (the default) is lint, unit and integration. Integration, bench and chaos need root: they make network
  namespaces, mounts and cgroups of their own, and clean up after themselves. The test of ./quickstart.sh acts on
  this host itself (bridge swarmd0, nftables table swarmd) and undoes it; it is skipped when swarmd runs here already.
  What is set up: Debian packages, and Python packages in $venv. To undo: rm -r $venv
END
}

say() { printf '==> %s\n' "$*"; }
die() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }

need_packages() {
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    [ "$(id -u)" -eq 0 ] || die "these Debian packages are missing, and installing them needs root:$missing"
    say "installing Debian packages:$missing"
    apt-get update -qq >/dev/null
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

need_python() {
    stamp=$venv/.test
    if [ -x "$venv/bin/pytest" ] && cmp -s pyproject.toml "$stamp"; then return; fi
    say "installing swarmd, its dependencies and its test tools into $venv"
    [ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --editable '.[dev]' 2>"$venv/pip.log" ||
        { cat "$venv/pip.log" >&2; die "pip could not install the dependencies"; }
    cp pyproject.toml "$stamp"
    cp pyproject.toml "$venv/.quickstart"
}

# The command line alone: a package of Debian's would start a daemon that changes this host's firewall.
need_docker_client() {
    PATH=$PATH:$venv/bin
    command -v docker >/dev/null && return
    say "taking Docker's command line out of Debian's docker.io, into $venv"
    mkdir -p "$venv/docker"
    apt-get update -qq >/dev/null
    (
        cd "$venv/docker" && apt-get download -qq docker.io >/dev/null 2>&1 &&
            dpkg-deb -x docker.io_*.deb . && mv usr/bin/docker "$venv/bin/docker"
    ) || die "Docker's command line could not be fetched"
    rm -rf "$venv/docker"
}

need_root() { [ "$(id -u)" -eq 0 ] || die "$1 needs root: sudo ./test.sh $1"; }

lint() {
    need_packages python3-venv shellcheck
    need_python
    say "lint: ruff, mypy, import-linter, shellcheck"
    "$venv/bin/ruff" check .
    "$venv/bin/ruff" format --check .
    "$venv/bin/mypy"
    "$venv/bin/lint-imports" --no-cache >/tmp/lint-imports.$$ 2>&1 || { cat /tmp/lint-imports.$$; rm -f /tmp/lint-imports.$$; exit 1; }
    rm -f /tmp/lint-imports.$$
    shellcheck quickstart.sh test.sh install.sh .ci/run examples/hello/*.sh examples/hello/serve
}

unit() {
    need_packages python3-venv
    need_python
    say "unit tests"
    "$venv/bin/pytest" -q tests
}

integration() {
    need_root integration
    # shellcheck disable=SC2086 # a list of words
    need_packages $integration_packages
    need_python
    need_docker_client
    say "integration tests: real containers, real networks"
    if [ $# -gt 0 ]; then "$venv/bin/pytest" -q integration "$@"; return; fi
    # Hosts of their own wait most of the time: two files at once. What acts on this host itself then has it alone.
    "$venv/bin/pytest" -q integration --ignore integration/test_quickstart.py --numprocesses 2 --dist loadfile
    "$venv/bin/pytest" -q integration/test_quickstart.py
}

bench() {
    need_root bench
    # shellcheck disable=SC2086 # a list of words
    need_packages $bench_packages
    need_python
    "$venv/bin/python" -m integration.bench "$@"
}

chaos() {
    need_root chaos
    # shellcheck disable=SC2086 # a list of words
    need_packages $integration_packages
    need_python
    need_docker_client
    "$venv/bin/python" -m integration.chaos "$@"
}

what=${1:-all}
[ $# -gt 0 ] && shift
case $what in
    all) lint; unit; integration ;;
    lint) lint ;;
    unit) unit ;;
    integration) integration "$@" ;;
    bench) bench "$@" ;;
    chaos) chaos "$@" ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
esac
