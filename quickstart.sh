#!/bin/sh
# A one-node swarm on this host with an example service, and its complete removal.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
venv=$here/.venv
log=/var/log/swarmd.log
data=/var/lib/swarmd
run=/run/swarmd
port=8080
replicas=3
wait_seconds=60
packages="python3-venv iproute2 nftables libnftables1 libseccomp2 busybox-static"

usage() {
    cat <<END
usage: ./quickstart.sh [up | down | status]

  up      (default) installs what is missing, starts swarmd, deploys examples/hello on port $port
  down    stops it and removes everything that "up" made, but for apt packages and $venv
  status  shows what runs
END
}

say() { printf '==> %s\n' "$*"; }
die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }
swarmctl() { env -u SWARM_HOST -u DOCKER_HOST "$venv/bin/swarmctl" "$@"; }

as_root() {
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null || die "run it as root (there is no sudo here)"
    say "swarmd makes namespaces, mounts and firewall rules, so it needs root: asking sudo"
    exec sudo -- "$here/quickstart.sh" "$@"
}

install_packages() {
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

install_python() {
    stamp=$venv/.quickstart
    if [ -x "$venv/bin/swarmd" ] && cmp -s "$here/pyproject.toml" "$stamp"; then return; fi
    say "installing swarmd and its Python dependencies into $venv"
    [ -x "$venv/bin/python" ] || /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --editable "$here" 2>"$venv/pip.log" ||
        { cat "$venv/pip.log" >&2; die "pip could not install the dependencies"; }
    cp "$here/pyproject.toml" "$stamp"
}

swarmd_runs() { [ -f "$run/swarmd.pid" ] && kill -0 "$(cat "$run/swarmd.pid")" 2>/dev/null; }

start_swarmd() {
    if swarmd_runs; then say "swarmd runs already (pid $(cat "$run/swarmd.pid"))"; return; fi
    say "starting swarmd; its log is $log"
    (umask 027 && : >>"$log")
    setsid "$venv/bin/swarmd" >>"$log" 2>&1 </dev/null &
    left=100
    until swarmctl version >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { tail -n 20 "$log" >&2; die "swarmd did not come up; see $log"; }
        sleep 0.1
    done
}

init_swarm() {
    [ "$(swarmctl info --format '{{.Swarm.LocalNodeState}}')" = active ] && return
    say "making a swarm of this one node"
    swarmctl swarm init --advertise-addr 127.0.0.1
}

import_images() {
    for version in 1 2; do
        [ -n "$(swarmctl image ls -q "hello:$version")" ] && continue
        say "building the image hello:$version from busybox"
        "$here/examples/hello/build.sh" | swarmctl image import \
            --change 'CMD ["/serve"]' --change "ENV VERSION=$version" \
            --change 'HEALTHCHECK --interval=1s --timeout=2s --start-interval=200ms --start-period=5s CMD wget -q -O /dev/null http://127.0.0.1/' \
            - "hello:$version" >/dev/null
    done
}

deploy() {
    [ -n "$(swarmctl service ls -q --filter name=hello)" ] && { say "the service hello is there already"; return; }
    say "deploying hello: $replicas replicas on port $port"
    swarmctl service create --detach --name hello --replicas "$replicas" --publish "$port:80" \
        --env 'REPLICA={{.Task.Slot}}' --update-order start-first --update-failure-action rollback hello:1 >/dev/null
}

wait_for_replicas() {
    began=$(date +%s)
    while :; do
        state=$(swarmctl service ls --filter name=hello --format '{{.Replicas}}')
        running=${state%%/*}
        wanted=${state##*/}
        wanted=${wanted%% *}
        bar=$(printf '%*s' $((30 * running / (wanted > 0 ? wanted : 1))) '' | tr ' ' '#')
        if [ -t 1 ]; then printf '\r    [%-30s] %s running' "$bar" "$state"; fi
        if [ "$running" = "$wanted" ] && [ "$wanted" -gt 0 ]; then break; fi
        if [ $(($(date +%s) - began)) -ge "$wait_seconds" ]; then
            printf '\n'
            swarmctl service ps --no-trunc hello >&2
            die "only $state replicas run after $wait_seconds seconds"
        fi
        sleep 0.2
    done
    if [ -t 1 ]; then printf '\n'; else printf '    [%-30s] %s running\n' "$bar" "$state"; fi
}

fetch() {
    "$venv/bin/python" -c 'import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode().strip())' "$1"
}

fetch_pages() {
    say "asking http://localhost:$port until each replica has answered"
    seen=
    count=0
    tries=200
    while [ "$count" -lt "$wanted" ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || die "only $count of $wanted replicas answered on port $port"
        page=$(fetch "http://127.0.0.1:$port/") || die "port $port does not answer"
        case "$seen" in *"$page"*) continue ;; esac
        seen="$seen|$page"
        count=$((count + 1))
        printf '    %s\n' "$page"
    done
}

up() {
    install_packages
    install_python
    start_swarmd
    init_swarm
    import_images
    deploy
    wait_for_replicas
    fetch_pages
    cat <<END

It works. To go on:

    export PATH=$venv/bin:\$PATH
    curl localhost:$port
    swarmctl service ls
    swarmctl service ps hello
    swarmctl service scale hello=5
    swarmctl service update --image hello:2 --update-parallelism 1 hello
    swarmctl service logs hello

The docker CLI works on the same socket: DOCKER_HOST=unix://$run/swarmd.sock docker service ls

What this changed: a bridge swarmd0, one nftables table swarmd, a few sysctls (former values kept in $data),
the directories $data and $run, cgroups below /swarmd, and the log $log.
To stop and undo all of it:  ./quickstart.sh down
END
}

down() {
    if [ ! -d "$data" ] && ! swarmd_runs; then say "nothing to undo"; return; fi
    [ -x "$venv/bin/swarmd" ] || die "$venv is missing; run ./quickstart.sh up first, so that down can clean up"
    start_swarmd
    if [ "$(swarmctl info --format '{{.Swarm.LocalNodeState}}')" = active ]; then
        say "leaving the swarm: all its containers stop"
        swarmctl swarm leave --force
    fi
    say "stopping swarmd, which takes its bridge, firewall table and sysctls back"
    pid=$(cat "$run/swarmd.pid")
    kill -TERM "$pid"
    left=300
    while kill -0 "$pid" 2>/dev/null; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || die "swarmd (pid $pid) does not stop; see $log"
        sleep 0.1
    done
    rm -rf "$data" "$run" "$log"
    say "everything is gone but apt packages and $venv (rm -r it if you like)"
}

status() {
    if swarmd_runs; then
        swarmctl service ls
        swarmctl service ps hello
    else
        say "swarmd does not run"
    fi
}

case ${1:-up} in
    up) as_root "$@"; up ;;
    down) as_root "$@"; down ;;
    status) as_root "$@"; status ;;
    -h | --help | help) usage ;;
    *) usage >&2; exit 2 ;;
esac
