"""The real docker CLI on files and volumes of containers."""

import json
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from integration.host import Host, wait_for

pytestmark = pytest.mark.skipif(
    shutil.which("docker") is None, reason="the docker CLI is not installed here"
)


def run(
    node: Host,
    name: str,
    *options: str,
    script: str = "sleep 600",
    by: Callable[..., subprocess.CompletedProcess[str]] | None = None,
) -> str:
    """A container without a network."""
    command = ["run", "-d", "--name", name, "--network", "none", "--no-healthcheck", *options]
    return (by or node.docker)(*command, "hello:1", "/bin/sh", "-c", script).stdout.strip()


def killed_and_started(node: Host) -> None:
    """Its containers go on meanwhile."""
    node.stop(signal.SIGKILL)
    node.start()


def inside(node: Host, name: str, script: str) -> str:
    return node.docker("exec", name, "/bin/sh", "-c", script).stdout


def inspected(node: Host, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.docker(kind, "inspect", name).stdout)[0]
    return found


def test_cp_diff_export_and_commit(node: Host, tmp_path: Path) -> None:
    (tmp_path / "in/d").mkdir(parents=True)
    (tmp_path / "in/d/f").write_text("from the host\n")
    (tmp_path / "in/l").symlink_to("d/f")
    run(
        node,
        "cp",
        "--tmpfs",
        "/mem:exec,uid=7",
        script="echo x > /mem/x; echo made > /made; sleep 600",
    )

    node.docker("cp", str(tmp_path / "in"), "cp:/mem/in")
    assert inside(node, "cp", "cat /mem/in/l") == "from the host\n"
    assert (
        inside(node, "cp", "stat -c %u /mem; grep -c ' /mem .*noexec' /proc/mounts; true")
        == "7\n0\n"
    )
    node.docker("cp", f"{tmp_path}/in/.", "cp:/srv")
    node.docker("cp", "cp:/srv", str(tmp_path / "out"))
    assert (tmp_path / "out/l").read_text() == "from the host\n"
    node.docker("cp", "-L", "cp:/srv/l", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "from the host\n"
    refused = node.docker("cp", "cp:/nowhere", str(tmp_path / "x"), check=False)
    assert refused.returncode == 1
    assert "/nowhere" in refused.stderr

    changed = node.docker("diff", "cp").stdout.splitlines()
    assert {"A /made", "A /srv", "A /srv/d", "A /srv/d/f", "A /srv/l"} <= set(changed)
    node.docker("export", "-o", str(tmp_path / "tree.tar"), "cp")
    with tarfile.open(tmp_path / "tree.tar") as exported:
        assert {"made", "srv/d/f"} <= set(exported.getnames())
    node.docker("commit", "-m", "why", "-a", "me", "-c", "ENV B=2", "cp", "made:2")
    again = node.docker(
        "run", "--rm", "--network", "none", "made:2", "/bin/sh", "-c", "cat /made; echo $B"
    )
    assert again.stdout == "made\n2\n"
    assert "why" in node.docker("history", "made:2").stdout
    node.docker("rm", "-f", "cp")
    node.docker("rmi", "made:2")


def test_volumes_by_hand(node: Host) -> None:
    node.docker("volume", "create", "--label", "a=1", "store")
    run(
        node,
        "writes",
        "-v",
        "store:/data",
        "-v",
        "/anonymous",
        script="echo kept > /data/f; mkdir /data/sub; echo below > /data/sub/f; sleep 600",
    )
    wait_for(
        "the file", lambda: "below" in inside(node, "writes", "cat /data/sub/f 2>/dev/null; true")
    )
    options = [
        "--mount",
        "type=volume,src=store,dst=/s,volume-subpath=sub",
        "--mount",
        "type=volume,src=store,dst=/r,ro",
    ]
    run(node, "reads", *options, by=node.ctl)  # clients before 26.0 know no subpaths

    assert (
        inside(node, "reads", "cat /s/f /r/f; touch /r/x 2>/dev/null || echo refused")
        == "below\nkept\nrefused\n"
    )
    in_use = node.docker("volume", "rm", "store", check=False)
    assert "volume is in use" in in_use.stderr
    (anonymous,) = set(node.docker("volume", "ls", "-q").stdout.split()) - {"store"}
    df = json.loads(node.docker("system", "df", "-v", "--format", "{{json .}}").stdout)
    assert {one["Name"]: one["Links"] for one in df["Volumes"]} == {"store": "2", anonymous: "1"}
    node.docker("rm", "-f", "writes", "reads")
    assert set(node.docker("volume", "ls", "-q").stdout.split()) == {"store", anonymous}
    pruned = node.docker("volume", "prune", "-f").stdout
    assert anonymous in pruned
    pruned += node.docker("volume", "prune", "--filter", "all=1", "-f").stdout
    assert "store" in pruned  # already, where the client speaks an API before 1.42
    node.docker("volume", "create", "")
    pruned = node.docker("system", "prune", "--volumes", "-f").stdout
    assert "Total reclaimed space" in pruned
    assert not node.docker("volume", "ls", "-q").stdout
    run(node, "goes", "-v", "/anonymous", "--rm", script="true")
    wait_for("its volume to go with it", lambda: not node.docker("volume", "ls", "-q").stdout)


def test_a_volumes_options(node: Host, tmp_path: Path) -> None:
    create = ["volume", "create", "--opt"]
    node.docker(*create, "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=64k", "memory")
    node.docker(*create, "type=none", "--opt", f"device={tmp_path}", "--opt", "o=bind", "bound")
    node.docker(
        *create,
        "type=nfs",
        "--opt",
        "device=:/x",
        "--opt",
        "o=addr=127.0.0.1,soft,timeo=5,retrans=1",
        "far",
    )

    script = "dd if=/dev/zero of=/m/big bs=1k count=100 2>/dev/null || echo full; echo x > /b/f; sleep 600"
    run(node, "opts", "-v", "memory:/m", "-v", "bound:/b", script=script)
    wait_for("the file", (tmp_path / "f").exists)
    assert inside(node, "opts", "stat -c %s /m/big") == "65536\n"
    refused = node.docker(
        "run", "--rm", "--network", "none", "-v", "far:/far", "hello:1", "true", check=False
    )
    assert "failed to mount local volume: mount :/x" in refused.stderr
    assert inspected(node, "volume", "memory")["Options"]["type"] == "tmpfs"
    killed_and_started(node)
    assert inside(node, "opts", "stat -c %s /m/big") == "65536\n"
    node.docker("rm", "-f", "opts")
    assert str(node.data_root) not in Path("/proc/self/mountinfo").read_text()
    node.docker("volume", "rm", "memory", "bound", "far")
    assert (tmp_path / "f").exists()


def test_mounts_go_between_host_and_container_as_asked(node: Host) -> None:
    """What the container mounts below a shared bind is seen on the host, and nothing of it with rprivate."""
    base = node.directory / "shared"
    base.mkdir()
    subprocess.run(["mount", "--bind", base, base], check=True)
    subprocess.run(["mount", "--make-shared", base], check=True)
    try:
        for kind in ("shared", "private"):
            (base / kind).mkdir()
            mount = f"type=bind,src={base},dst=/b,bind-propagation=r{kind}"
            options = ("--cap-add", "SYS_ADMIN", "--mount", mount)
            run(
                node,
                kind,
                *options,
                script=f"mount -t tmpfs x /b/{kind}; echo made > /m; sleep 600",
            )
            look = partial(
                inside, node, kind, f"cat /m 2>/dev/null; grep -c /b/{kind} /proc/mounts; true"
            )
            assert wait_for("its mount", look) == "made\n1\n"
        mounted = Path("/proc/self/mountinfo").read_text()
        assert f" {base}/shared " in mounted
        assert f" {base}/private " not in mounted
        subprocess.run(["umount", base / "shared"], check=True)
    finally:
        node.docker("rm", "-f", "shared", "private", check=False)
        subprocess.run(["umount", "-R", base], check=False)


def test_a_volume_outlives_its_daemon_and_says_who_uses_it(node: Host) -> None:
    node.docker("volume", "create", "lives")
    run(node, "user", "-v", "lives:/data", "-v", "/anonymous", script="echo x > /data/f; sleep 600")
    before = set(node.docker("volume", "ls", "-q").stdout.split())
    killed_and_started(node)
    assert set(node.docker("volume", "ls", "-q").stdout.split()) == before
    assert "in use" in node.docker("volume", "rm", "lives", check=False).stderr
    assert inside(node, "user", "cat /data/f") == "x\n"
    node.docker("rm", "-f", "-v", "user")
    assert node.docker("volume", "ls", "-q").stdout.split() == ["lives"]
    node.docker("volume", "rm", "lives")


def helpers(node: Host) -> list[int]:
    """Those that read and write trees for this node: they have its socket's directory in what they were told."""
    assert node.process is not None
    listed = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    return [
        int(pid) for pid in listed if b"trees/main.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_a_daemon_that_is_killed_leaves_no_helper_and_nothing_that_stands_still(node: Host) -> None:
    run(
        node,
        "cut",
        script="dd if=/dev/zero of=/f bs=1M count=100 2>/dev/null; echo > /ready; sleep 600",
    )
    wait_for("its file", lambda: inside(node, "cut", "ls /ready 2>/dev/null; true"))
    head = tarfile.TarInfo("endless")
    head.size = 1 << 36
    docker = ["docker", "-H", node.socket]
    with subprocess.Popen(
        [*docker, "cp", "-", "cut:/"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as copying:
        assert copying.stdin is not None
        copying.stdin.write(head.tobuf() + bytes(1 << 20))
        copying.stdin.flush()
        (helper,) = wait_for("the helper", lambda: helpers(node))
        killed_and_started(node)
        copying.kill()
    wait_for("the helper to go", lambda: not Path(f"/proc/{helper}").exists())
    committing = subprocess.Popen(
        [*docker, "commit", "cut", "cut:1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for(
        "it to stand still, or the commit to be faster than we look",
        lambda: (
            inspected(node, "container", "cut")["State"]["Paused"] or committing.poll() is not None
        ),
    )
    killed_and_started(node)
    committing.communicate()

    assert inspected(node, "container", "cut")["State"]["Running"]
    assert inside(node, "cut", "echo goes on") == "goes on\n"
    assert list((node.data_root / "images/tmp").iterdir()) == []
    node.docker("rm", "-f", "cut")
