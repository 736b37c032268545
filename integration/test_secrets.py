"""Secrets and configs from the command line into containers, through crashes, and away again."""

import errno
import os
import signal
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.conftest import make_swarm
from integration.host import Host, wait_for

SECRET, ROTATED = "tr0ub4dor-" * 9, "c0rrect-h0rse-" * 9
CONFIG = "name={{.Service.Name}} slot={{.Task.Slot}}\n"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = make_swarm()
    made.ctl("secret", "create", "key", "-", text=SECRET)
    made.ctl("config", "create", "--template-driver", "golang", "conf", "-", text=CONFIG)
    yield made
    made.remove()


def create(host: Host, name: str, *arguments: str) -> None:
    host.ctl(
        "service", "create", "--detach", "--name", name, "--no-healthcheck",
        "--stop-grace-period", "100ms", "--restart-delay", "100ms", *arguments,
        "--entrypoint", "/bin/sh -c", "hello:1", "sleep 100000",
    )  # fmt: skip
    host.wait_running(name)


def inner(task: dict[str, Any], path: str) -> Path:
    """A path as the task's container sees it."""
    return Path(f"/proc/{task['Status']['ContainerStatus']['PID']}/root{path}")


def places_with(host: Host, text: str) -> list[str]:
    """Files of this host that hold the text: on its disk, below its exec root, in its log."""
    roots = (host.data_root, host.exec_root, host.log.parent)
    files = {path for root in roots for path in root.rglob("*") if path.is_file()}
    return [str(path) for path in files if text.encode() in content(path)]


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:  # a namespace's file, or one that has just gone
        assert error.errno in (errno.EINVAL, errno.ENOENT), path  # noqa: PT017 - any other is a failure
        return b""


def test_containers_get_their_files_and_nobody_else_sees_them(host: Host) -> None:
    create(
        host, "web", "--secret", "source=key,target=token,uid=123,gid=456,mode=0400",
        "--secret", "key", "--config", "source=conf,target=/etc/app/conf.ini", "--read-only",
    )  # fmt: skip
    (task,) = host.running("web")
    token, plain = inner(task, "/run/secrets/token"), inner(task, "/run/secrets/key")
    assert token.read_text() == plain.read_text() == SECRET
    found = token.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (123, 456, 0o400)
    assert stat.S_IMODE(plain.stat().st_mode) == 0o444
    assert inner(task, "/etc/app/conf.ini").read_text() == "name=web slot=1\n"
    pid = task["Status"]["ContainerStatus"]["PID"]
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        if "/run/secrets/" in line:
            assert {"ro", "nosuid", "nodev", "noexec"} <= set(line.split()[5].split(","))
            assert " - tmpfs " in line
    with pytest.raises(OSError, match="Read-only"):
        plain.write_text("x")
    inspected = host.ctl("secret", "inspect", "key").stdout + host.ctl("secret", "ls").stdout
    inspected += host.ctl("service", "inspect", "web").stdout
    inspected += str(host.api("GET", "/containers/json?all=1"))
    assert SECRET not in inspected
    assert places_with(host, SECRET[:20]) == []
    used = host.ctl("secret", "rm", "key", check=False)
    assert "secret 'key' is in use by the following service: web" in used.stderr


def test_they_stay_with_a_container_through_kill_9_of_swarmd(host: Host) -> None:
    (before,) = host.running("web")
    host.stop(signal.SIGKILL)
    assert inner(before, "/run/secrets/token").read_text() == SECRET
    host.start()
    host.wait_running("web")
    (after,) = host.running("web")
    assert after["Status"]["ContainerStatus"]["PID"] == before["Status"]["ContainerStatus"]["PID"]
    os.kill(before["Status"]["ContainerStatus"]["PID"], signal.SIGKILL)
    wait_for(
        "a replacement", lambda: [t["ID"] for t in host.running("web")] not in ([], [before["ID"]])
    )
    (fresh,) = host.running("web")
    assert inner(fresh, "/run/secrets/token").read_text() == SECRET


def test_a_rotation_replaces_one_secret_by_another(host: Host) -> None:
    host.ctl("secret", "create", "key2", "-", text=ROTATED)
    host.ctl(
        "service", "update", "--detach", "--secret-rm", "key",
        "--secret-add", "source=key2,target=key", "web",
    )  # fmt: skip
    wait_for(
        "the new task",
        lambda: (
            [inner(t, "/run/secrets/key").read_text() for t in host.running("web")] == [ROTATED]
        ),
    )
    (task,) = host.running("web")
    assert not inner(task, "/run/secrets/token").exists()
    assert host.ctl("secret", "rm", "key").stdout == "key\n"
    host.ctl("secret", "create", "key", "-", text=SECRET)


def test_a_power_cut_leaves_nothing_of_them_and_tasks_get_them_again(host: Host) -> None:
    host.power_cut()
    assert places_with(host, SECRET[:20]) == places_with(host, ROTATED[:20]) == []
    assert host.mounts() == []
    host.start()
    host.wait_running("web")
    (task,) = wait_for("a new task", lambda: host.running("web"))
    assert inner(task, "/run/secrets/key").read_text() == ROTATED


def test_a_hostile_image_gains_nothing_by_links(host: Host) -> None:
    """The image's directories lead elsewhere; the files come to lie within the container all the same."""
    import_hostile(host)
    host.ctl(
        "service", "create", "--detach", "--name", "hostile", "--secret", "key", "--config",
        "source=conf,target=/escape/conf", "--restart-condition", "none",
        "--stop-grace-period", "100ms", "hostile:1", "/bin/sh", "-c", "sleep 100000",
    )  # fmt: skip
    host.wait_running("hostile")
    (task,) = host.running("hostile")
    assert inner(task, "/run/secrets").readlink() == Path("/outside")
    assert inner(task, "/outside/key").read_text() == SECRET
    assert inner(task, "/outside/conf").exists()
    assert not Path("/outside").exists()
    host.ctl("service", "rm", "hostile")


def import_hostile(host: Host) -> None:
    """hello:1 with links in the place of the directories that files go to."""
    archive = host.directory / "hostile.tar"
    archive.write_bytes((host.directory / "hello.tar").read_bytes())
    with tarfile.open(archive, "a") as tar:
        for name, target in (
            ("run/secrets", "/outside"),
            ("escape", "/outside"),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    host.ctl("image", "import", str(archive), "hostile:1")


def test_the_last_service_takes_them_along(host: Host) -> None:
    host.ctl("service", "rm", "web")
    wait_for("its containers to go", lambda: not host.api("GET", "/containers/json?all=1"))
    host.ctl("secret", "rm", "key", "key2")
    host.ctl("config", "rm", "conf")
    assert host.ctl("secret", "ls", "-q").stdout == host.ctl("config", "ls", "-q").stdout == ""
