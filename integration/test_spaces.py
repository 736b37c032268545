"""Namespaces that containers share, and user namespaces, with real containers."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import ConflictError
from integration.runtime_world import BUSYBOX, World, under
from worker.runtime.bundle import BundleMount, FileContent, FurtherProcess, IdMapping, Namespaces
from worker.runtime.capabilities import DEFAULT_CAPABILITIES

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
]

MAPPED = (IdMapping(container_id=0, host_id=300_000, size=65_536),)
REMAPPED = Namespaces(uid_mappings=MAPPED, gid_mappings=MAPPED)
KINDS = "for n in pid ipc uts net cgroup mnt; do readlink /proc/self/ns/$n; done"


def own(pid: int | str = "self") -> dict[str, str]:
    """The namespaces of a process of the host."""
    kinds = ("pid", "ipc", "uts", "net", "cgroup", "mnt")
    return {kind: str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in kinds}


async def seen(world: World, name: str, modes: Namespaces, network: str = "") -> dict[str, str]:
    said = await world.say(name, KINDS, namespaces=modes, network_namespace=network)
    return dict(zip(("pid", "ipc", "uts", "net", "cgroup", "mnt"), said, strict=True))


# -- shared with the host --------------------------------------------------------------------------


@under("", "crun", "runc")
async def test_namespaces_of_the_host(world: World) -> None:
    found = await seen(
        world, "a", Namespaces(pid="host", ipc="host", uts="host", cgroup="host"), "host"
    )
    host = own()
    assert {kind: name for kind, name in found.items() if kind != "mnt"} == {
        kind: name for kind, name in host.items() if kind != "mnt"
    }
    assert found["mnt"] != host["mnt"]


@under("", "crun", "runc")
async def test_what_is_not_shared_is_its_own(world: World) -> None:
    found = await seen(world, "a", Namespaces(uts="host"))
    assert [kind for kind, name in found.items() if name == own()[kind]] == ["uts"]


@under("", "crun", "runc")
async def test_a_network_of_its_own_has_a_loopback_address(world: World) -> None:
    said = await world.say("a", "ip address show lo")
    assert "UP" in said[0]
    assert [line for line in said if "inet 127.0.0.1/8" in line]


@under("", "crun", "runc")
async def test_all_processes_of_one_in_the_hosts_pid_namespace_end_with_it(world: World) -> None:
    script = "setsid sleep 1234567 & sleep 0.1; echo $$"
    said = await world.say("a", script, namespaces=Namespaces(pid="host"))
    assert int(said[0]) > 1
    for _ in range(100):
        if not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"1234567" in command(one)]:
            return
        await asyncio.sleep(0.02)
    pytest.fail("a process outlives its container")


def command(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@under("", "crun", "runc")
async def test_a_small_init_buries_orphans_in_the_hosts_pid_namespace(world: World) -> None:
    script = "sh -c 'true & exec true' & sleep 0.2; ps -o stat | grep -c Z; true"
    said = await world.say("a", script, namespaces=Namespaces(pid="host"), init=True)
    assert said  # how many zombies others have is theirs


# -- shared with another container -----------------------------------------------------------------


@under("", "crun", "runc")
async def test_two_containers_share_processes_memory_name_and_network(world: World) -> None:
    owner = world.bundle(
        "owner", "sh", "-c", "echo it is me > /dev/shm/note; sleep 100", hostname="me"
    )
    pid = await world.client.start(owner)
    while not Path(f"/proc/{pid}/root/dev/shm/note").exists():
        await asyncio.sleep(0.01)
    other = "container:owner"
    script = f"{KINDS}; cat /dev/shm/note; hostname; ps -o pid,args | grep -c 'sleep 100'; echo hi > /dev/shm/answer"
    said = await world.say(
        "guest", script, hostname="ignored", network_namespace=other,
        namespaces=Namespaces(pid=other, ipc=other, uts=other),
    )  # fmt: skip
    of_owner = own(pid)
    assert said[:4] == [of_owner[kind] for kind in ("pid", "ipc", "uts", "net")]
    assert said[4] != of_owner["cgroup"]
    assert said[6:8] == ["it is me", "me"]
    assert int(said[8]) >= 1
    result = await world.client.exec(
        "owner", ["cat", "/dev/shm/answer"], timeout_seconds=5, output_max_bytes=99
    )
    assert result.output == b"hi\n"


@under("", "crun", "runc")
async def test_a_further_process_is_where_its_container_is(world: World) -> None:
    pid = await world.client.start(world.bundle("owner", "sleep", "100"))
    guest = world.bundle("guest", "sleep", "100", namespaces=Namespaces(pid="container:owner"))
    await world.client.start(guest)
    result = await world.client.exec(
        "guest", ["readlink", "/proc/self/ns/pid"], timeout_seconds=5, output_max_bytes=99
    )
    assert result.output.decode().strip() == own(pid)["pid"]


@under("", "crun", "runc")
async def test_who_shares_processes_ends_with_the_owner_of_them(world: World) -> None:
    await world.client.start(world.bundle("owner", "sleep", "100"))
    guest = world.bundle("guest", "sleep", "100", namespaces=Namespaces(pid="container:owner"))
    await world.client.start(guest)
    await world.client.kill("owner")
    assert (await world.client.wait("owner")).code == 137
    assert (await world.client.wait("guest")).code == 137


@under("", "crun", "runc")
async def test_who_shares_a_network_outlives_the_owner_of_it(world: World) -> None:
    pid = await world.client.start(world.bundle("owner", "sleep", "100"))
    network = own(pid)["net"]
    guest = world.bundle(
        "guest", "sh", "-c", "while [ ! -e /dev/shm/go ]; do sleep 0.02; done; readlink /proc/self/ns/net",
        network_namespace="container:owner",
    )  # fmt: skip
    await world.client.start(guest)
    await world.client.kill("owner")
    await world.client.wait("owner")
    await world.client.exec(
        "guest", ["touch", "/dev/shm/go"], timeout_seconds=5, output_max_bytes=9
    )
    await world.client.wait("guest")
    assert world.lines("guest") == [network]


@under("", "crun", "runc")
async def test_only_one_that_runs_can_be_joined(world: World) -> None:
    for modes in (Namespaces(pid="container:owner"), Namespaces(ipc="container:owner")):
        with pytest.raises(ConflictError, match="non running container: owner"):
            await world.client.start(world.bundle("a", "true", namespaces=modes))
    with pytest.raises(ConflictError, match="non running container: owner"):
        await world.client.start(world.bundle("a", "true", network_namespace="container:owner"))


@under("", "crun", "runc")
async def test_no_shared_memory_at_all(world: World) -> None:
    said = await world.say("a", "ls /dev | grep -c shm || true", namespaces=Namespaces(ipc="none"))
    assert said == ["0"]


@under("", "crun", "runc")
async def test_a_trap_in_place_of_shared_memory_leads_nowhere(world: World) -> None:
    """The owner may mount: its /dev/shm becomes a link to what would be the host's root."""
    owner = world.bundle(
        "owner", "sh", "-c", "busybox umount /dev/shm && busybox rmdir /dev/shm && "
        "busybox ln -s / /dev/shm && touch /tmp/ready; sleep 100",
        capabilities=DEFAULT_CAPABILITIES | {"CAP_SYS_ADMIN"},
    )  # fmt: skip
    pid = await world.client.start(owner)
    while not Path(f"/proc/{pid}/root/tmp/ready").exists():
        await asyncio.sleep(0.01)
    guest = world.bundle("guest", "ls", "/dev/shm", namespaces=Namespaces(ipc="container:owner"))
    with pytest.raises(Exception, match=r"symbolic links|Not a directory"):
        await world.client.start(guest)


# -- user namespaces -------------------------------------------------------------------------------


async def test_root_of_a_remapped_container_is_nobody_on_the_host(world: World) -> None:
    secret = world.layer("secret")
    (secret / "roots").write_text("x")
    (secret / "roots").chmod(0o600)
    (secret / "open").mkdir()
    (secret / "open").chmod(0o777)
    mounts = (BundleMount(target="/host", source=str(secret)),)
    script = """
        id -u; id -g; cat /proc/self/uid_map | tr -s ' '
        cat /host/roots || echo refused
        touch /host/new || echo refused
        chown 0 /host/roots || echo refused
        mknod /dev/sda b 8 0 || echo refused
        touch /host/open/mine /root/mine
        stat -c %u /host/open/mine /root/mine /bin/sh /etc/passwd /dev /dev/shm /dev/pts
    """
    said = await world.say("a", script, namespaces=REMAPPED, mounts=mounts)
    assert said == [
        "0", "0", " 0 300000 65536", "refused", "refused", "refused", "refused",
        *["0"] * 7,
    ]  # fmt: skip
    assert (secret / "open/mine").stat().st_uid == 300_000
    assert (world.root / "a/upper/root/mine").stat().st_uid == 0
    assert (world.root / "base/bin/busybox").stat().st_uid == 0


async def test_a_remapped_container_is_whole(world: World) -> None:
    """It has users, volumes, files, limits, terminals and a network as any other."""
    volume = world.layer("volume")
    mounts = (
        BundleMount(target="/data", source=str(volume), maps_owners=True),
        BundleMount(target="/run/secret", content=FileContent(data=b"s\n", uid=1000, mode=0o400)),
        BundleMount(target="/scratch", tmpfs_mode=0o755),
    )
    script = """
        id -u; ulimit -n; stat -c %u /data /run/secret /scratch; cat /run/secret; echo out > /dev/stdout
        touch /tmp/x; grep -E 'CapEff|Seccomp:' /proc/self/status | tr '\\t' ' '; echo x > /dev/null; cd /made; pwd
    """
    said = await world.say(
        "a", script, namespaces=REMAPPED, mounts=mounts, user="app", cwd="/made",
        ulimits={"nofile": (100, 200), "core": (-1, -1)},
    )  # fmt: skip
    assert said == [
        "1000", "100", "0", "1000", "0", "s", "out", "CapEff: 0000000000000000", "Seccomp: 0", "/made",
    ]  # fmt: skip
    said = await world.say(
        "b", "touch /data/mine /scratch/mine; stat -c %u /data/mine; mkdir /data/d; chown app /data/d;"
        "stat -c %u /data/d;"
        "grep CapEff /proc/self/status | tr '\\t' ' '",
        namespaces=REMAPPED, mounts=mounts,
    )  # fmt: skip
    assert said == ["0", "1000", "CapEff: 00000000a80425fb"]
    assert [(volume / name).stat().st_uid for name in ("mine", "d")] == [0, 1000]


async def test_further_processes_of_a_remapped_container_are_remapped(world: World) -> None:
    pid = await world.client.start(world.bundle("a", "sleep", "100", namespaces=REMAPPED))
    assert Path(f"/proc/{pid}").stat().st_uid == 300_000
    result = await world.client.exec(
        "a", ["sh", "-c", "id -u; readlink /proc/self/ns/user; echo x > /dev/stdout"],
        timeout_seconds=5, output_max_bytes=99,
    )  # fmt: skip
    assert result.output.decode().split() == [
        "0",
        str(Path(f"/proc/{pid}/ns/user").readlink()),
        "x",
    ]
    spawned = await world.client.spawn(
        "a", FurtherProcess(argv=("sh", "-c", "tty; id -u"), tty=True)
    )
    text = b""
    while (piece := await spawned.streams.read()) is not None:
        text += piece[1]
    assert text.split() == [b"/dev/pts/0", b"0"]
    assert await spawned.wait() == 0


async def test_a_remapped_container_with_a_terminal(world: World) -> None:
    bundle = world.bundle(
        "a", "sh", "-c", "tty; stat -c %u:%g /dev/console", namespaces=REMAPPED, tty=True
    )
    assert await world.run(bundle) == ["/dev/pts/0\r", "0:5\r"]


async def test_remapped_containers_do_not_share_a_user_namespace(world: World) -> None:
    bundles = [world.bundle(name, "sleep", "100", namespaces=REMAPPED) for name in ("a", "b")]
    pids = [await world.client.start(replace(bundle)) for bundle in bundles]
    names = {str(Path(f"/proc/{pid}/ns/user").readlink()) for pid in pids}
    assert len(names | {str(Path("/proc/self/ns/user").readlink())}) == 3
