#!/bin/sh
# swarmd on this host as a service of systemd: installs, upgrades, goes back, and removes itself.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=
start=yes
purge=no
force=no
kept_releases=2
answer_seconds=60
packages="python3-venv iproute2 nftables libnftables1 libseccomp2"

usage() {
    cat <<END_USAGE
usage: ./install.sh [install] [--no-start] [--root DIR]
       ./install.sh rollback
       ./install.sh uninstall [--force] [--purge] [--root DIR]
       ./install.sh status

  install    (default) puts this release below /opt/swarmd with a Python environment of its own, the unit swarmd.service,
             /etc/swarmd/swarmd.yaml (kept when it is there), swarmd and swarmctl in /usr/local/bin; starts it. Run from a
             newer release it upgrades: containers go on running, and should the new release not answer within
             $answer_seconds seconds, the one before is put back.
  rollback   goes back to the release before.
  uninstall  stops swarmd and removes what was installed. A node that is in a swarm must leave it first, or --force makes it.
             --purge also removes /etc/swarmd and /var/lib/swarmd: images, volumes, everything.
  status     says what is installed and whether it runs.

  --no-start installs without starting anything. --root DIR puts every file below DIR and touches nothing else of this host.
END_USAGE
}

say() { printf '==> %s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }

opt() { printf '%s/opt/swarmd' "$root"; }
unit() { printf '%s/etc/systemd/system/swarmd.service' "$root"; }
has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }
swarmctl() { env -u SWARM_HOST -u DOCKER_HOST "$(opt)/current/bin/swarmctl" "$@"; }
release_of() { readlink "$(opt)/$1" 2>/dev/null || true; }

need_root() { [ "$(id -u)" -eq 0 ] || die "installing swarmd needs root: sudo ./install.sh $1"; }

need_packages() {
    missing=
    for package in $packages; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || die "these Debian packages are missing and there is no apt-get:$missing"
    say "installing Debian packages:$missing"
    apt-get update -qq >/dev/null
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

build_release() {
    version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$here/common/version.py")
    release=releases/$version-$(date +%Y%m%d%H%M%S)
    directory=$(opt)/$release
    say "building $directory"
    mkdir -p "$directory"
    # Nothing that runs is touched before the new release is whole.
    trap 'rm -rf "$directory"' EXIT
    /usr/bin/python3 -m venv "$directory"
    # From a copy: what an earlier build has left in the source's own directory must not come along.
    mkdir "$directory/source"
    for part in pyproject.toml README.md LICENSE manager worker common cli; do cp -r "$here/$part" "$directory/source/"; done
    "$directory/bin/pip" install --quiet --disable-pip-version-check --no-warn-script-location "$directory/source" \
        >"$directory/pip.log" 2>&1 || { cat "$directory/pip.log" >&2; die "pip could not install swarmd"; }
    rm -rf "$directory/source"
    mkdir -p "$directory/share/doc/swarmd"
    cp "$here/README.md" "$here/CHANGELOG.md" "$here/LICENSE" "$here"/docs/*.md "$directory/share/doc/swarmd/"
    cp "$here/examples/host/swarmd.service" "$here/examples/host/swarmd.yaml" "$directory/share/"
    "$directory/bin/python" -m cli.swarmd.main --version >/dev/null || die "the new release does not start"
    # Below another root the programs are to run from where they will be.
    [ -z "$root" ] || sed -i "1s|^#!$root/|#!/|" "$directory/bin/swarmd" "$directory/bin/swarmctl"
    trap - EXIT
}

# Makes a release the current one, in one step of the file system.
switch_to() {
    before=$(release_of current)
    if [ -n "$before" ] && [ "$before" != "$1" ]; then
        ln -sfn "$before" "$(opt)/previous.new"
        mv -T "$(opt)/previous.new" "$(opt)/previous"
    fi
    ln -sfn "$1" "$(opt)/current.new"
    mv -T "$(opt)/current.new" "$(opt)/current"
    mkdir -p "$(dirname "$(unit)")" "$root/etc/swarmd" "$root/usr/local/bin"
    cp "$(opt)/$1/share/swarmd.service" "$(unit)"
    [ -e "$root/etc/swarmd/swarmd.yaml" ] || cp "$(opt)/$1/share/swarmd.yaml" "$root/etc/swarmd/swarmd.yaml"
    for program in swarmd swarmctl; do
        ln -sfn "/opt/swarmd/current/bin/$program" "$root/usr/local/bin/$program"
    done
}

answers() {
    left=$answer_seconds
    until swarmctl version >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

restart() {
    systemctl daemon-reload
    systemctl enable --quiet swarmd.service
    systemctl restart swarmd.service && answers
}

# Releases that are neither current nor previous, and of which nothing runs: a supervisor may be of an older one.
forget_old_releases() {
    for directory in $(find "$(opt)/releases" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n "+$((kept_releases + 1))"); do
        name=releases/$(basename "$directory")
        [ "$name" = "$(release_of current)" ] && continue
        [ "$name" = "$(release_of previous)" ] && continue
        if grep -qsF "$directory/" /proc/[0-9]*/cmdline /proc/[0-9]*/maps; then continue; fi
        rm -rf "$directory"
    done
}

install() {
    need_root install
    if [ -z "$root" ]; then
        need_packages
        if [ -z "$(release_of current)" ] && [ -e /run/swarmd/swarmd.pid ] && kill -0 "$(cat /run/swarmd/swarmd.pid)" 2>/dev/null; then
            die "a swarmd that was not installed by this script runs here: stop it first (./quickstart.sh down)"
        fi
    fi
    was=$(release_of current)
    before_that=$(release_of previous)
    build_release
    switch_to "$release"
    if ! has_systemd; then
        forget_old_releases
        say "installed ${root:-on this host}; systemd does not run here, so nothing was started"
        [ -n "$root" ] || say "start it by: /usr/local/bin/swarmd"
        return
    fi
    if [ "$start" = no ]; then
        forget_old_releases
        systemctl daemon-reload
        say "installed; start it by: systemctl enable --now swarmd"
        return
    fi
    say "starting swarmd.service"
    if ! restart; then
        journalctl -u swarmd.service -n 20 --no-pager >&2 || true
        [ -n "$was" ] || die "swarmd does not answer; see journalctl -u swarmd"
        say "the new release does not answer: putting $was back"
        switch_to "$was"
        rm -rf "${directory:?}" "$(opt)/previous"
        [ -z "$before_that" ] || ln -sfn "$before_that" "$(opt)/previous"
        restart || die "the release before does not answer either; see journalctl -u swarmd"
        die "not upgraded: $was runs as before"
    fi
    forget_old_releases
    say "$(swarmctl version --format '{{.Server.Version}}' 2>/dev/null || echo swarmd) answers on /run/swarmd/swarmd.sock"
    [ -n "$was" ] || cat <<END_NEXT

To go on, on the first host:     swarmctl swarm init --advertise-addr ADDRESS
on each other one:               swarmctl swarm join --token TOKEN --advertise-addr ADDRESS FIRST:2377
docs/install.md shows three hosts, and how to upgrade them one by one.
To undo this:                    ./install.sh uninstall --purge
END_NEXT
}

rollback() {
    need_root rollback
    previous=$(release_of previous)
    if [ -z "$previous" ] || [ ! -x "$(opt)/$previous/bin/swarmd" ]; then die "there is no release to go back to"; fi
    say "going back to $previous"
    switch_to "$previous"
    if has_systemd; then restart || die "it does not answer; see journalctl -u swarmd"; fi
}

leave_swarm() {
    [ -e /var/lib/swarmd/swarm/node ] || return 0
    [ "$force" = yes ] ||
        die "this node is in a swarm: let it leave (swarmctl swarm leave), or uninstall with --force, which ends its containers"
    say "leaving the swarm: all containers of its tasks stop"
    swarmctl swarm leave --force || die "swarmd does not answer: start it, so that it can clean up, or stop its containers by hand"
}

uninstall() {
    need_root uninstall
    [ -n "$(release_of current)" ] || [ -e "$(unit)" ] || die "swarmd is not installed${root:+ below $root}"
    if [ -z "$root" ]; then
        leave_swarm
        if has_systemd; then
            say "stopping swarmd.service"
            systemctl disable --quiet --now swarmd.service
        elif [ -e /run/swarmd/swarmd.pid ] && kill -0 "$(cat /run/swarmd/swarmd.pid)" 2>/dev/null; then
            die "swarmd runs (pid $(cat /run/swarmd/swarmd.pid)): stop it first"
        fi
    fi
    say "removing /opt/swarmd, swarmd.service, swarmd and swarmctl"
    rm -f "$(unit)" "$root/usr/local/bin/swarmd" "$root/usr/local/bin/swarmctl"
    rm -rf "$(opt)"
    if has_systemd; then systemctl daemon-reload; fi
    if [ "$purge" = yes ]; then
        say "removing /etc/swarmd and /var/lib/swarmd"
        rm -rf "$root/etc/swarmd" "$root/var/lib/swarmd" "$root/run/swarmd"
    else
        say "kept: /etc/swarmd and /var/lib/swarmd (uninstall --purge removes them)"
    fi
}

status() {
    current=$(release_of current)
    [ -n "$current" ] || { say "swarmd is not installed${root:+ below $root}"; return; }
    say "installed: $current; before it: $(release_of previous)"
    if has_systemd; then systemctl --no-pager --lines 0 status swarmd.service || true; fi
}

what=install
case ${1:-} in
    install | rollback | uninstall | status) what=$1; shift ;;
    -h | --help | help) usage; exit 0 ;;
esac
while [ $# -gt 0 ]; do
    case $1 in
        --root) [ $# -gt 1 ] || die "--root needs a directory"; root=${2%/}; shift ;;
        --no-start) start=no ;;
        --purge) purge=yes ;;
        --force) force=yes ;;
        *) usage >&2; exit 2 ;;
    esac
    shift
done
case $root in '' | /*) ;; *) die "--root must be an absolute path, not $root" ;; esac
"$what"
