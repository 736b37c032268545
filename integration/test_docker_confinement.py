"""What the real docker CLI can say of a container's confinement, and what the container then has."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.host import Host

pytestmark = pytest.mark.skipif(
    shutil.which("docker") is None, reason="the docker CLI is not installed here"
)
STATUS = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t ' | tr '\\n' ' '"
DEFAULT = "00000000a80425fb"


def run(node: Host, *options: str, script: str = STATUS) -> list[str]:
    command = ["run", "--rm", "--network", "none", "--no-healthcheck", *options]
    return node.docker(*command, "hello:1", "/bin/sh", "-c", script).stdout.split()


def test_by_default(node: Host) -> None:
    assert run(node) == [f"CapEff:{DEFAULT}", "NoNewPrivs:0", "Seccomp:2"]


def test_capabilities_and_new_privileges(node: Host) -> None:
    options = ("--cap-drop", "ALL", "--cap-add", "NET_ADMIN")
    assert run(node, *options, "--security-opt", "no-new-privileges") == [
        "CapEff:0000000000001000", "NoNewPrivs:1", "Seccomp:2",
    ]  # fmt: skip


def test_profiles(node: Host, tmp_path: Path) -> None:
    assert run(node, "--security-opt", "seccomp=unconfined")[2] == "Seccomp:0"
    profile = tmp_path / "no-mkdir.json"
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
    script = "mkdir /x 2>&1 | grep -o 'No space left'; echo done"
    said = run(node, "--security-opt", f"seccomp={profile}", script=script)
    assert said == ["No", "space", "left", "done"]
    profile.write_text('{"defaultAction": "SCMP_ACT_MAYBE"}')
    refused = node.docker(
        "run", "--rm", "--security-opt", f"seccomp={profile}", "hello:1", "true", check=False
    )
    assert refused.returncode == 125
    assert "unknown action 'SCMP_ACT_MAYBE'" in refused.stderr


def test_privileged(node: Host) -> None:
    script = f"{STATUS}; echo; ls /dev | wc -l; touch /proc/sys/kernel/panic && echo writable"
    effective, privileges, seccomp, devices, writable = run(node, "--privileged", script=script)
    assert int(effective.partition(":")[2], 16) & 1 << 21
    assert (privileges, seccomp, writable) == ("NoNewPrivs:0", "Seccomp:0", "writable")
    assert int(devices) > 20


def test_system_paths_can_be_shown(node: Host) -> None:
    script = (
        "test -w /proc/sys/kernel/panic && echo writable; grep -c '/proc/' /proc/self/mounts; true"
    )
    said = run(node, "--security-opt", "systempaths=unconfined", script=script)
    assert said == ["writable", "0"]


def test_devices(node: Host) -> None:
    script = "head -c 2 /dev/nothing2 | wc -c; echo x > /dev/nothing2 || echo refused"
    options = ("--device", "/dev/kmsg:/dev/log2:r", "--device", "/dev/zero:/dev/nothing2")
    assert run(node, *options, script=script) == ["2"]
    script = "echo x 2>/dev/null > /dev/log2 || echo refused; ls /dev/log2"
    assert run(node, *options, script=script) == ["refused", "/dev/log2"]
    script = "mknod /tmp/m c 10 229; head -c 0 /tmp/m 2>&1 | grep -c 'not permitted'; true"
    assert run(node, script=script) == ["1"]
    assert run(node, "--device-cgroup-rule", "c 10:* r", script=script) == ["0"]
    missing = node.docker("run", "--rm", "--device", "/dev/no-such", "hello:1", "true", check=False)
    assert missing.returncode == 127  # by the words at its end, as with Docker
    assert 'adding custom device "/dev/no-such"' in missing.stderr


def test_a_further_process_with_all_capabilities_keeps_the_filter(node: Host) -> None:
    name = node.docker("run", "-d", "--network", "none", "hello:1", "sleep", "600").stdout.strip()
    said = node.docker("exec", "--privileged", name, "/bin/sh", "-c", STATUS).stdout.split()
    assert int(said[0].partition(":")[2], 16) & 1 << 21
    assert said[2] == "Seccomp:2"
    plain = node.docker("exec", name, "/bin/sh", "-c", STATUS).stdout.split()
    assert plain == [f"CapEff:{DEFAULT}", "NoNewPrivs:0", "Seccomp:2"]
    inspected = json.loads(node.docker("inspect", name).stdout)[0]
    assert inspected["HostConfig"]["Privileged"] is False


def test_the_engine_says_what_confines(node: Host) -> None:
    said = json.loads(node.docker("info", "--format", "{{json .SecurityOptions}}").stdout)
    assert said == ["name=seccomp,profile=builtin", "name=cgroupns"]


@pytest.fixture
def specification() -> Iterator[str]:
    """A vendor's description of a device, where all of them lie."""
    directory = Path("/var/run/cdi")
    was_there = directory.exists()
    directory.mkdir(exist_ok=True)
    path = directory / f"swarmd-test-{os.getpid()}.json"
    edits = {
        "env": ["THING=here"],
        "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero"}],
        "mounts": [{"hostPath": "/etc", "containerPath": "/vendor", "options": ["ro", "rbind"]}],
    }
    hooks = [{"hookName": "createContainer", "path": "/usr/bin/vendor-hook"}]
    devices = [
        {"name": "one", "containerEdits": edits},
        {"name": "hooked", "containerEdits": {"hooks": hooks}},
    ]
    kind = f"swarmd-test-{os.getpid()}.example/thing"
    path.write_text(json.dumps({"cdiVersion": "0.6.0", "kind": kind, "devices": devices}))
    yield kind
    path.unlink()
    if not was_there:
        directory.rmdir()


def test_a_device_by_its_vendors_name(node: Host, specification: str) -> None:
    script = (
        "echo $THING; head -c 2 /dev/thing | wc -c; touch /vendor/x 2>/dev/null || echo refused"
    )
    run = ("run", "--rm", "--network", "none", "--no-healthcheck")
    said = node.ctl(*run, "--device", f"{specification}=one", "hello:1", "/bin/sh", "-c", script)
    assert said.stdout.split() == ["here", "2", "refused"]
    hooked = node.ctl(*run, "--device", f"{specification}=hooked", "hello:1", "true", check=False)
    assert hooked.returncode == 125
    assert "hook createContainer (/usr/bin/vendor-hook) is not run" in hooked.stderr
