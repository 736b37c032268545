"""Real containers by the real supervisor; needs root and a static busybox."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from common.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    SystemFailureError,
)
from integration.runtime_world import BUSYBOX, World, left_groups, lives_after_a_while, under
from worker.kernel.cgroup_v1 import CgroupsV1
from worker.kernel.cgroup_v2 import CgroupsV2
from worker.kernel.cgroupfs import Hierarchies, Limits, find_hierarchies, pause
from worker.kernel.cgroups import open_cgroups
from worker.kernel.syscalls import clone
from worker.runtime.bundle import BundleMount, CgroupLimits, LogOptions, RunLease
from worker.runtime.client import RuntimeClient
from worker.runtime.usage import read_usage

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
]


# -- isolation -------------------------------------------------------------------------------------


@under("", "crun")
async def test_namespaces_are_its_own(world: World) -> None:
    said = await world.say(
        "a", "for n in mnt pid uts ipc net cgroup; do readlink /proc/self/ns/$n; done"
    )
    host = [
        str(Path(f"/proc/self/ns/{kind}").readlink())
        for kind in ("mnt", "pid", "uts", "ipc", "net", "cgroup")
    ]
    assert len(said) == 6
    assert not set(said) & set(host)


@under("", "crun")
async def test_it_is_pid_1_with_its_own_hostname(world: World) -> None:
    assert await world.say("a", "echo $$; hostname; ls /", hostname="web-1") == [
        "1",
        "web-1",
        *["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp"],
    ]


async def test_no_mount_of_the_host_is_seen(world: World) -> None:
    said = await world.say("a", "cut -d' ' -f5 /proc/self/mountinfo; cat /proc/self/mounts")
    assert not [line for line in said if str(world.root) in line or "/dev/vda" in line]
    assert said[:4] == ["/", "/proc", "/sys", "/dev"]


async def test_capabilities_are_dockers_default(world: World) -> None:
    assert await world.say("a", "grep Cap /proc/self/status | tr '\\t' ' '") == [
        "CapInh: 0000000000000000",
        "CapPrm: 00000000a80425fb",
        "CapEff: 00000000a80425fb",
        "CapBnd: 00000000a80425fb",
        "CapAmb: 0000000000000000",
    ]


@under("", "crun", "runc")
async def test_a_user_has_groups_home_and_no_capabilities(world: World) -> None:
    script = "id -u; id -g; id -G; echo $HOME; pwd; grep -E 'CapEff|NoNewPrivs' /proc/self/status | tr '\\t' ' '"
    said = await world.say("a", script, user="app", cwd="/made/for/it", no_new_privileges=True)
    assert said == [
        "1000", "1000", "1000 77", "/home/app", "/made/for/it",
        "CapEff: 0000000000000000", "NoNewPrivs: 1",
    ]  # fmt: skip


@under("", "crun")
async def test_a_user_can_open_dev_stdout(world: World) -> None:
    assert await world.say("a", "echo hello >/dev/stdout", user="app") == ["hello"]


@under("", "crun")
async def test_user_and_group_by_number_need_no_entry(world: World) -> None:
    said = await world.say("a", "id -u; id -g; id -G", user="4242:77", groups=("app",))
    assert said == ["4242", "77", "77 1000"]


@under("", "crun", "runc")
async def test_parts_of_proc_and_sys_are_masked_or_read_only(world: World) -> None:
    script = """
        wc -c < /proc/timer_list; wc -c < /proc/keys; ls /sys/firmware /proc/acpi | grep -v : | tr -d '\\n' | wc -c
        echo 1 > /proc/sys/kernel/panic || echo refused
        echo b > /proc/sysrq-trigger || echo refused
        mkdir /sys/fs/cgroup/x || echo refused
        mount -t tmpfs x /tmp || echo refused
        touch /sys/x || echo refused"""
    assert await world.say("a", script) == ["0", "0", "0", *["refused"] * 5]


@under("", "crun", "runc")
async def test_cap_mknod_is_no_way_to_the_hosts_disks(world: World) -> None:
    device = BUSYBOX.stat().st_dev
    script = f"""
        mknod /tmp/disk b {os.major(device)} {os.minor(device)} && echo made
        head -c 1 /tmp/disk >/dev/null && echo read
        mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg >/dev/null && echo read
        mknod /tmp/null c 1 3 && echo x > /tmp/null && echo null
        true"""
    said = await world.say("a", script)
    assert said == ["made", "null"]
    assert [line.rpartition(": ")[2] for line in world.lines("a", "stderr")] == [
        "Operation not permitted"
    ] * 2


@under("", "crun")
async def test_devices_are_dockers(world: World) -> None:
    said = await world.say(
        "a", "ls /dev; head -c 3 /dev/zero | wc -c; echo x >/dev/null; stat -c %a /dev/shm"
    )
    assert said == [
        "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero", "3", "1777",
    ]  # fmt: skip


@under("", "crun", "runc")
async def test_the_process_holds_nothing_of_the_hosts(world: World) -> None:
    said = await world.say("a", "exec ls -l /proc/self/fd")
    targets = [line.rpartition(" -> ")[2] for line in said if " -> " in line]
    assert targets[0] == "/dev/null"
    assert all(target.startswith("pipe:") for target in targets[1:3])
    assert len(targets) == 3  # ls's own directory has gone when it reads the link


@under("", "crun")
async def test_a_working_directory_cannot_be_a_descriptor(world: World) -> None:
    for fd in (3, 5, 8, 12):
        with pytest.raises(InvalidInputError):
            await world.client.start(world.bundle("a", "true", cwd=f"/proc/self/fd/{fd}"))


# -- hostile images --------------------------------------------------------------------------------


@under("", "crun", "runc")
async def test_links_at_mount_targets_stay_inside(world: World, tmp_path: Path) -> None:
    """A link that would lead out on the host leads to the same name inside."""
    outside = tmp_path / "outside"
    outside.mkdir()
    source = tmp_path / "resolv.conf"
    source.write_text("nameserver 10.0.0.1\n")
    layer = world.layer("evil")
    (layer / "etc").mkdir()
    (layer / "etc/resolv.conf").symlink_to(f"../../../../../..{outside}/resolv.conf")
    (layer / "data").symlink_to(f"{outside}/deep")
    bundle = world.bundle(
        "a", "sh", "-c", "cat /etc/resolv.conf; echo mine > /data/file; cat /data/file",
        mounts=(
            BundleMount(target="/etc/resolv.conf", source=str(source), read_only=True),
            BundleMount(target="/data"),
        ),
    )  # fmt: skip
    said = await world.run(world.with_layer(bundle, layer))
    assert said == ["nameserver 10.0.0.1", "mine"]
    assert list(outside.iterdir()) == []


@under("", "crun")
@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
async def test_a_link_in_place_of_proc_is_refused(world: World, name: str) -> None:
    layer = world.layer("evil")
    (layer / name).symlink_to("/tmp")
    with pytest.raises(InvalidInputError, match=f"/{name} in the image is not a directory"):
        await world.client.start(world.with_layer(world.bundle("a", "true"), layer))


@under("", "crun")
async def test_a_mount_inside_proc_is_refused(world: World) -> None:
    layer = world.layer("evil")
    (layer / "data").symlink_to("/proc/self")
    bundle = world.bundle("a", "true", mounts=(BundleMount(target="/data"),))
    with pytest.raises(InvalidInputError, match="inside /proc"):
        await world.client.start(world.with_layer(bundle, layer))


@under("", "crun")
async def test_an_endless_passwd_is_refused(world: World) -> None:
    layer = world.layer("evil")
    (layer / "etc").mkdir()
    with (layer / "etc/passwd").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(InvalidInputError, match="larger than"):
        await world.client.start(world.with_layer(world.bundle("a", "true"), layer))


async def test_a_passwd_that_is_a_pipe_does_not_hang(world: World) -> None:
    layer = world.layer("evil")
    (layer / "etc").mkdir()
    os.mkfifo(layer / "etc/passwd")
    with pytest.raises(InvalidInputError, match="not a regular file"):
        await world.client.start(world.with_layer(world.bundle("a", "true"), layer))


async def test_the_interpreter_cannot_be_overwritten_from_inside(world: World) -> None:
    """A program that is "/proc/self/exe" is our interpreter: its mount is read-only."""
    exe = Path(f"/proc/{world.supervisor()}/exe")
    assert os.statvfs(exe).f_flag & os.ST_RDONLY


# -- mounts ----------------------------------------------------------------------------------------


@under("", "crun", "runc")
async def test_binds_tmpfs_and_read_only(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    mounts = (
        BundleMount(target="/data", source=str(tmp_path)),
        BundleMount(target="/fixed/deep", source=str(tmp_path), read_only=True),
        BundleMount(target="/etc/hosts", source=str(tmp_path / "file")),
        BundleMount(target="/scratch", tmpfs_size_bytes=65536, tmpfs_mode=0o700),
    )
    script = """
        cat /data/file /etc/hosts; echo back > /data/made; touch /fixed/deep/x || echo refused
        dd if=/dev/zero of=/scratch/big bs=1k count=100 2>/dev/null || echo full
        stat -c %a /scratch"""
    said = await world.say("a", script, mounts=mounts)
    assert said == ["from the host", "from the host", "refused", "full", "700"]
    assert (tmp_path / "made").read_text() == "back\n"


async def test_a_bind_without_a_source_is_refused(world: World) -> None:
    mounts = (BundleMount(target="/data", source="/nonexistent/here"),)
    with pytest.raises(
        InvalidInputError, match="bind source path does not exist: /nonexistent/here"
    ):
        await world.client.start(world.bundle("a", "true", mounts=mounts))


@under("", "crun")
async def test_a_read_only_root_still_has_its_tmpfs(world: World) -> None:
    bundle = world.bundle(
        "a", "sh", "-c", "touch /x || echo refused; touch /run/x /dev/shm/x && echo ok",
        mounts=(BundleMount(target="/run"),),
    )  # fmt: skip
    bundle = replace(bundle, rootfs=replace(bundle.rootfs, read_only=True))
    assert await world.run(bundle) == ["refused", "ok"]


async def test_an_image_of_a_hundred_layers_with_odd_names(world: World) -> None:
    layers = []
    for number in range(100):
        layer = world.root / f"layer:{number},with=a long name {'x' * 100}"
        layer.mkdir()
        (layer / "which").write_text(f"{number}\n")
        layers.append(str(layer))
    bundle = world.bundle("a", "cat", "/which")
    rootfs = replace(bundle.rootfs, lower=(*layers, str(world.base)))
    assert await world.run(replace(bundle, rootfs=rootfs)) == ["0"]


def needs(controller: str) -> None:
    """A machine that was started with fewer controllers holds no such limit."""
    found = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    listed = Path(found.unified, "cgroup.controllers").read_text() if found.unified else ""
    if controller not in {*found.controllers, *listed.split()}:
        pytest.skip(f"no {controller} controller")


# -- limits ----------------------------------------------------------------------------------------


@under("", "crun")
async def test_memory_limit_kills_and_says_so(world: World) -> None:
    needs("memory")
    limits = CgroupLimits(memory_bytes=16 << 20, memory_swap_bytes=16 << 20)
    await world.client.start(
        world.bundle("a", "sh", "-c", "exec dd if=/dev/zero of=/dev/null bs=100M", limits=limits)
    )
    ended = await world.client.wait("a")
    assert (ended.code, ended.oom_killed) == (137, True)


async def test_a_memory_limit_too_small_to_start_is_explained(world: World) -> None:
    needs("memory")
    with pytest.raises(Exception, match="memory"):
        await world.client.start(
            world.bundle("a", "true", limits=CgroupLimits(memory_bytes=64 << 10))
        )


@under("", "crun")
async def test_pids_limit(world: World) -> None:
    needs("pids")
    script = "for i in 1 2 3 4 5 6; do sleep 9 & done; echo unreachable"
    await world.client.start(world.bundle("a", "sh", "-c", script, limits=CgroupLimits(pids=4)))
    ended = await world.client.wait("a")
    assert ended.code != 0
    assert "can't fork" in world.lines("a", "stderr")[0]


async def test_cpu_quota_stands_in_the_group_and_is_visible_inside(world: World) -> None:
    needs("cpu")
    found = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    file = "cpu/cpu.cfs_quota_us" if "cpu" in found.controllers else "cpu.max"
    limits = CgroupLimits(cpu_quota_us=20_000)
    said = await world.say("a", f"cat /sys/fs/cgroup/{file}", limits=limits)
    assert said[0].split()[0] == "20000"


@under("", "crun")
async def test_ulimits_sysctls_and_oom_score(world: World) -> None:
    said = await world.say(
        "a", "ulimit -n; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/self/oom_score_adj",
        ulimits={"nofile": (100, 200)},
        sysctls={"net.ipv4.ip_forward": "1", "kernel.msgmax": "4242"},
        oom_score_adj=500,
    )  # fmt: skip
    assert said == ["100", "1", "4242", "500"]


# -- ends ------------------------------------------------------------------------------------------


@under("", "crun")
@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$; sleep 9", 0)]
)
async def test_exit_codes(world: World, script: str, code: int) -> None:
    bundle = world.bundle("a", "sh", "-c", f"trap 'exit 0' TERM; {script}")
    await world.client.start(bundle)
    assert (await world.client.wait("a")).code == code


@under("", "crun")
async def test_death_by_a_signal_is_128_and_its_number(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    await world.client.signal("a", signal.SIGKILL)
    ended = await world.client.wait("a")
    assert (ended.code, ended.oom_killed) == (137, False)


async def test_what_has_a_lease_is_ended_by_the_supervisor_alone(world: World) -> None:
    """SIGTERM at its time, for one that ignores it SIGKILL; one that was put off goes on."""
    ignoring = ("sh", "-c", "trap '' TERM; echo ready; sleep 100 & wait; sleep 100")
    await world.client.start(world.bundle("polite", "sleep", "100", init=True))
    await world.client.start(world.bundle("deaf", *ignoring))
    await world.client.start(world.bundle("kept", "sleep", "100"))
    now = time.clock_gettime(time.CLOCK_BOOTTIME)

    def lease(name: str, stop_at: float, kill_at: float) -> RunLease:
        return RunLease(id=name, stop_signal=signal.SIGTERM, stop_at=stop_at, kill_at=kill_at)

    await world.client.lease([lease("kept", now, now)])
    await world.client.lease([lease("kept", now + 60, now + 60), lease("polite", now, now + 60)])
    await world.client.lease([lease("deaf", now, now + 1)])
    assert (await world.client.wait("polite")).code in (128 + signal.SIGTERM, 0)
    assert (await world.client.wait("deaf")).code == 137
    assert time.clock_gettime(time.CLOCK_BOOTTIME) >= now + 1
    assert await world.client.running() == {"kept"}
    await world.client.kill("kept")


@under("", "crun")
async def test_kill_takes_every_process_in_any_session(world: World) -> None:
    pid = await world.client.start(
        world.bundle("a", "sh", "-c", "setsid sleep 77 & sleep 77 & wait")
    )
    await world.client.kill("a")
    assert (await world.client.wait("a")).code == 137
    assert not Path(f"/proc/{pid}").exists()
    assert open_cgroups(world.parent).processes("a") == []


async def test_signals_to_what_has_ended_are_fine(world: World) -> None:
    await world.say("a", "true")
    await world.client.signal("a", signal.SIGTERM)
    await world.client.kill("a")
    assert await world.client.running() == frozenset()


@under("", "crun")
@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("nope",), 'exec: "nope": executable file not found in $PATH'),
        (("/nope",), 'exec: "/nope": stat /nope: no such file or directory'),
        (("/etc/passwd",), 'exec: "/etc/passwd": permission denied'),
        (("/etc",), 'exec: "/etc": is a directory'),
    ],
)  # fmt: skip
async def test_a_program_that_cannot_run_is_refused(
    world: World, argv: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await world.client.start(world.bundle("a", *argv))
    assert caught.value.message == message
    assert await world.client.running() == frozenset()


async def test_a_script_without_its_interpreter_is_refused(world: World) -> None:
    layer = world.layer("script")
    (layer / "run").write_text("#!/bin/bash\n")
    (layer / "text").write_text("no program\n")
    for file in layer.iterdir():
        file.chmod(0o755)
    with pytest.raises(InvalidInputError, match="exec /run: no such file or directory"):
        await world.client.start(world.with_layer(world.bundle("a", "/run"), layer))
    with pytest.raises(InvalidInputError, match="exec /text: exec format error"):
        await world.client.start(world.with_layer(world.bundle("a", "/text"), layer))


@under("", "crun")
async def test_an_unknown_user_is_refused(world: World) -> None:
    with pytest.raises(InvalidInputError, match="unable to find user nobody"):
        await world.client.start(world.bundle("a", "true", user="nobody"))


@under("", "crun")
async def test_starting_twice_is_a_conflict_while_it_runs(world: World) -> None:
    bundle = world.bundle("a", "sleep", "100")
    await world.client.start(bundle)
    with pytest.raises(ConflictError, match="already running"):
        await world.client.start(bundle)
    assert await world.client.running() == {"a"}
    with pytest.raises(ConflictError, match="still running"):
        await world.client.cleanup("a")


@under("", "crun")
async def test_a_container_starts_again_with_what_it_wrote(world: World) -> None:
    bundle = world.bundle("a", "sh", "-c", "cat /file; echo again > /file; exit 5")
    for _ in range(2):
        await world.client.start(bundle)
        assert (await world.client.wait("a")).code == 5
    assert world.lines("a") == ["again"]


async def test_waiting_for_what_never_was_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError):
        await world.client.wait("nobody")


async def test_init_buries_orphans_and_hands_on_signals(world: World) -> None:
    script = """
        trap 'echo got it; exit 9' TERM
        sh -c 'sleep 0.05 & exit 0'
        sleep 0.3 & wait $!
        ps -o comm | grep -c sleep; echo $$ $PPID
        echo ready; while :; do sleep 0.05; done"""
    await world.client.start(world.bundle("a", "sh", "-c", script, init=True))
    while "ready" not in world.lines("a"):
        await asyncio.sleep(0.02)
    await world.client.signal("a", signal.SIGTERM)
    assert (await world.client.wait("a")).code == 9
    assert world.lines("a") == ["0", "2 1", "ready", "got it"]


async def test_init_shows_nothing_of_the_host(world: World) -> None:
    script = "tr '\\000' ' ' < /proc/1/cmdline; echo; cat /proc/1/comm"
    shown, name = await world.say("a", script, init=True)
    assert (shown.strip(), name) == ("init", "init")
    assert (await world.say("b", script, init=True, user="65534"))[0].strip() == "init"


# -- logs ------------------------------------------------------------------------------------------


@under("", "crun")
async def test_the_log_is_whole_when_the_end_is_known(world: World) -> None:
    script = "seq 1 50000; echo oops >&2; printf 'no newline'"
    said = await world.say("a", script)
    assert said == [*map(str, range(1, 50001)), "no newline"]
    assert world.lines("a", "stderr") == ["oops"]
    last = json.loads((world.root / "a/log").read_text().splitlines()[-1])
    assert set(last) == {"log", "stream", "time"}
    assert last["time"].endswith("Z")


async def test_long_lines_are_cut_at_16_kib(world: World) -> None:
    await world.say("a", "head -c 40000 /dev/zero | tr '\\0' x; echo")
    entries = [json.loads(line)["log"] for line in (world.root / "a/log").read_text().splitlines()]
    assert [len(entry) for entry in entries] == [16384, 16384, 40001 - 2 * 16384]
    assert [entry.endswith("\n") for entry in entries] == [False, False, True]


async def test_bytes_that_are_no_text_stay_valid_json(world: World) -> None:
    said = await world.say("a", "printf 'a\\377\"\\\\\\033b\\n\\303\\244\\n'")
    assert said == ['a�"\\\x1bb', "ä"]


async def test_rotation_keeps_the_newest(world: World) -> None:
    path = world.root / "a" / "log"
    log = LogOptions(path=str(path), max_bytes=100_000, max_files=3)
    bundle = world.bundle("a", "seq", "1", "5000")
    await world.client.start(replace(bundle, log=log))
    await world.client.wait("a")
    files = [path.with_name("log.2"), path.with_name("log.1"), path]
    assert all(file.stat().st_size <= 100_000 for file in files)
    assert not path.with_name("log.3").exists()
    text = "".join(file.read_text() for file in files)
    numbers = [int(json.loads(line)["log"]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 5001))
    assert len(numbers) > 2000


async def test_output_can_be_thrown_away(world: World) -> None:
    bundle = world.bundle("a", "sh", "-c", "seq 1 100000", log=LogOptions(path=""))
    await world.client.start(bundle)
    assert (await world.client.wait("a")).code == 0


async def test_a_container_that_floods_does_not_hold_up_another(world: World) -> None:
    log = LogOptions(path=str(world.root / "flood.log"), max_bytes=1 << 20, max_files=2)
    await world.client.start(world.bundle("flood", "yes", log=log))
    async with asyncio.timeout(5):
        assert await world.say("a", "echo quick") == ["quick"]


# -- exec ------------------------------------------------------------------------------------------


@under("", "crun", "runc")
async def test_exec_runs_inside_with_the_same_confinement(world: World) -> None:
    await world.client.start(
        world.bundle(
            "a", "sleep", "100", user="app", env=("COLOUR=red",), hostname="inside", cwd="/tmp"
        )
    )
    script = """hostname; id -u; echo $COLOUR; pwd; grep CapBnd /proc/self/status | tr '\\t' ' '
        for n in mnt pid uts ipc net cgroup; do
            [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo $n
        done
        cat /proc/self/cgroup | grep -c ':/$'; ls /proc/self/fd | wc -l; echo err >&2"""
    result = await world.client.exec(
        "a", ["sh", "-c", script], timeout_seconds=5, output_max_bytes=4096
    )
    lines = result.output.decode().splitlines()
    groups = len(Path("/proc/self/cgroup").read_text().splitlines())
    assert result.code == 0
    assert lines == [
        "inside",
        "1000",
        "red",
        "/tmp",
        "CapBnd: 00000000a80425fb",
        str(groups),
        "4",
        "err",
    ]


async def test_exec_output_is_bounded_and_its_code_kept(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    result = await world.client.exec(
        "a", ["sh", "-c", "seq 1 100000; exit 7"], timeout_seconds=5, output_max_bytes=100
    )
    assert (result.code, len(result.output)) == (7, 100)


@under("", "crun")
async def test_exec_that_takes_too_long_is_killed(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    result = await world.client.exec(
        "a",
        ["sh", "-c", "echo begun; sleep 50 & sleep 50"],
        timeout_seconds=0.3,
        output_max_bytes=100,
    )
    assert (result.code, result.output) == (-1, b"begun\n")
    assert len(open_cgroups(world.parent).processes("a")) == 1


@under("", "crun")
async def test_exec_of_what_is_not_there(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    result = await world.client.exec("a", ["nope"], timeout_seconds=5, output_max_bytes=100)
    assert result.code == 127
    assert result.output == b'exec: "nope": executable file not found in $PATH'
    with pytest.raises(NotFoundError, match="is not running"):
        await world.client.exec("b", ["true"], timeout_seconds=5, output_max_bytes=100)


# -- survival --------------------------------------------------------------------------------------

CLIENT = """
import asyncio, sys
from pathlib import Path
from integration.runtime_world import World, under
from worker.runtime.client import RuntimeClient
from worker.runtime.usage import read_usage

async def main():
    root = Path(sys.argv[1])
    client = RuntimeClient(root / "exec", sys.argv[2])
    await client.open()
    world = World(root, sys.argv[2], client)
    for number in range(10):
        script = f"for i in $(seq 0 199); do echo line $i; [ $((i%20)) = 0 ] && sleep 0.1; done; exit {number + 1}"
        await client.start(world.bundle(f"c{number}", "sh", "-c", script))
    print("started", flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


async def test_kill_of_the_client_loses_nothing(world: World) -> None:
    command = [sys.executable, "-c", CLIENT, str(world.root), world.parent]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"started\n"
    process.kill()
    await process.wait()
    world.made += [f"c{number}" for number in range(10)]
    assert await world.client.running()
    for number in range(10):
        ended = await world.client.wait(f"c{number}")
        assert ended.code == number + 1
        assert world.lines(f"c{number}") == [f"line {i}" for i in range(200)]


@under("", "crun")
async def test_another_code_replaces_the_supervisor_in_place(world: World) -> None:
    script = "for i in $(seq 0 299); do echo line $i; [ $((i%10)) = 0 ] && sleep 0.02; done; exit 6"
    await world.client.start(world.bundle("a", "sh", "-c", script))
    before = world.supervisor()
    newer = RuntimeClient(world.root / "exec", world.parent)
    newer._supervision.stamp = "other"
    await newer.open()
    assert world.supervisor() == before
    assert await newer.running() == {"a"}
    result = await newer.exec("a", ["echo", "hi"], timeout_seconds=5, output_max_bytes=100)
    assert result.output == b"hi\n"
    assert (await newer.wait("a")).code == 6
    await newer.close()
    assert world.lines("a") == [f"line {i}" for i in range(300)]


@under("", "crun")
async def test_kill_of_the_supervisor_kills_containers_with_a_clear_end(world: World) -> None:
    pid = await world.client.start(world.bundle("a", "sleep", "100"))
    waiting = asyncio.ensure_future(world.client.wait("a"))
    await asyncio.sleep(0.05)
    os.kill(world.supervisor(), signal.SIGKILL)
    ended = await asyncio.wait_for(waiting, 5)
    assert ended.code == 137
    assert not await lives_after_a_while(pid)
    assert await world.client.running() == frozenset()
    assert await world.say("b", "echo on") == ["on"]


async def test_shutdown_is_refused_while_containers_run(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    with pytest.raises(ConflictError, match="1 containers still run"):
        await world.client.shutdown()
    assert await world.client.running() == {"a"}


async def test_another_cgroup_parent_waits_for_containers(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    other = RuntimeClient(world.root / "exec", f"{world.parent}-other")
    with pytest.raises(ConflictError, match="runs containers in"):
        await other.open()


async def test_only_root_may_speak_to_it(world: World) -> None:
    path = world.root / "exec/supervisor.sock"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_large_environment_is_carried(world: World) -> None:
    env = tuple(f"V{number}={'x' * 10_000}" for number in range(100))
    said = await world.say("a", "echo ${#V99}", env=env)
    assert said == ["10000"]


@under("", "crun")
async def test_many_at_once(world: World) -> None:
    names = [f"m{number}" for number in range(40)]
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(world.client.start(world.bundle(name, "sh", "-c", "echo done")))
    for name in names:
        assert (await world.client.wait(name)).code == 0
        assert world.lines(name) == ["done"]


# -- cgroup v2 on a real kernel --------------------------------------------------------------------


@pytest.fixture
def unified() -> Iterator[CgroupsV2]:
    """The unified hierarchy by itself: on a hybrid machine it has few controllers, but groups, kill and eBPF."""
    found = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    if not found.unified:
        pytest.skip("no cgroup2 is mounted")
    groups = CgroupsV2(found.unified, f"swarmd-test-runtime-{os.getpid()}/deep")
    yield groups
    assert groups.remove("c")
    groups.remove_parent()
    Path(found.unified, f"swarmd-test-runtime-{os.getpid()}").rmdir()


def test_v2_birth_devices_and_kill(unified: CgroupsV2) -> None:
    unified.create("c", Limits({}))
    entrance = unified.entrance("c")
    disk = BUSYBOX.stat().st_dev
    reading, writing = os.pipe()
    pid = clone(0, cgroup_fd=entrance.born_in)
    if pid == 0:
        words = "born" if "/deep/c" in Path("/proc/self/cgroup").read_text() else "elsewhere"
        path = f"/tmp/swarmd-test-disk-{os.getpid()}"
        os.mknod(path, 0o60600, disk)
        try:
            Path(path).read_bytes()
        except PermissionError:
            words += " refused"
        Path(path).unlink()
        words += " null" if Path("/dev/null").read_bytes() == b"" else ""
        os.write(writing, words.encode())
        while True:
            signal.pause()
    entrance.close()
    assert os.read(reading, 100) == b"born refused null"
    assert unified.processes("c") == [pid]
    assert not unified.remove("c")
    unified.kill("c")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert read_usage(unified, "c").cpu_ns > 0
    os.close(reading)
    os.close(writing)


def test_v1_kill_without_a_unified_hierarchy(root: Path) -> None:
    """Freezes, kills all, thaws: here a tree of processes that goes on forking."""
    found = find_hierarchies(Path("/proc/self/mountinfo").read_text())
    if "freezer" not in found.controllers:
        pytest.skip("no cgroup v1 freezer")
    parent = f"swarmd-test-runtime-{os.getpid()}"
    groups = CgroupsV1(Hierarchies(found.controllers, ""), parent)
    groups.create("c", Limits({"pids": 50}))
    entrance = groups.entrance("c")
    pid = clone(0)
    if pid == 0:
        entrance.join()
        script = "while :; do sh -c 'sleep 60 & sleep 60 & wait' & sleep 0.01; done"
        os.execv(root / "base/bin/sh", ["sh", "-c", script])
    entrance.close()
    while len(groups.processes("c")) < 10:
        pass
    assert read_usage(groups, "c").pids >= 10
    groups.kill("c")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    for _ in range(200):
        if groups.remove("c"):
            break
        pause()
    assert groups.processes("c") == []
    groups.remove_parent()
    assert left_groups(f"/{parent}") == []


async def test_a_request_that_makes_no_sense_is_answered_and_survived(world: World) -> None:
    await world.client.start(world.bundle("a", "sleep", "100"))
    with pytest.raises(SystemFailureError, match="an error of the supervisor's"):
        await world.client._supervision.ask("start", {})
    with pytest.raises(InvalidInputError, match="no verb"):
        await world.client._supervision.ask("dance", None)
    assert await world.client.running() == {"a"}
