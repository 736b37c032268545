"""The two commands of the README, on this very host: up, up again, use, down; and nothing is left."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from integration.host import REPOSITORY
from integration.links import run

SYSCTLS = Path("/proc/sys/net")
_FLEETING = ("nf_conntrack_count", "nr_open", "random", "flush", "route_cache", "uuid")
"""Settings that change by themselves."""


def quickstart(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run(REPOSITORY / "quickstart.sh", *arguments, check=check)


def picture() -> Mapping[str, object]:
    """The host's network, mounts and control groups."""
    return {
        "links": sorted(run("ip", "-o", "link").stdout.replace("\\", " ").splitlines()),
        "addresses": sorted(
            line.split("valid_lft")[0] for line in run("ip", "-o", "addr").stdout.splitlines()
        ),
        "routes": sorted(run("ip", "route", "show", "table", "all").stdout.splitlines()),
        "rules": sorted(run("ip", "rule").stdout.splitlines()),
        "ruleset": run("nft", "list", "ruleset").stdout,
        "mounts": sorted(filter(_is_no_tests, Path("/proc/mounts").read_text().splitlines())),
        "cgroups": sorted(
            str(path) for path in Path("/sys/fs/cgroup").glob("*/swarmd") if path.is_dir()
        ),
        "sysctls": dict(_sysctls()),
    }


def _is_no_tests(mount: str) -> bool:
    """Hosts of other tests come and go in their temporary directories."""
    return f"{tempfile.gettempdir()}/" not in mount and "/netns/swarmd-" not in mount


def _sysctls() -> Iterator[tuple[str, str]]:
    for path in sorted(SYSCTLS.rglob("*")):
        if (
            path.is_file()
            and not any(name in path.name for name in _FLEETING)
            and "conntrack" not in str(path)
        ):
            with contextlib.suppress(OSError):
                yield str(path), path.read_text()


@pytest.fixture
def clean_host() -> Iterator[None]:
    if Path("/run/swarmd/swarmd.pid").exists() or Path("/var/lib/swarmd").exists():
        pytest.skip("swarmd is in use on this host; this test would take it down")
    run("nft", "list", "ruleset")  # what loading nftables itself changes is not ours
    yield
    quickstart("down")


def test_up_twice_use_and_down_leaves_the_host_as_it_was(clean_host: None) -> None:
    before = picture()
    first = quickstart().stdout
    assert "3/3 running" in first
    assert {f"replica {number}" for number in (1, 2, 3)} <= set(_replicas(first))
    second = quickstart().stdout
    assert "swarmd runs already" in second
    assert "3/3 running" in second
    assert "Hello from version 1" in run("curl", "-s", "-m", "5", "localhost:8080").stdout
    swarmctl = REPOSITORY / ".venv/bin/swarmctl"
    environment = {"PATH": os.environ["PATH"]}
    assert "hello" in run(swarmctl, "service", "ls", env=environment).stdout
    assert "everything is gone" in quickstart("down").stdout
    after = picture()
    for what, was in before.items():
        assert after[what] == was, f"{what} changed"
    assert "nothing to undo" in quickstart("down").stdout


def _replicas(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if "Hello from" in line:
            yield line.split(", ")[1]


def test_a_wrong_word_is_refused() -> None:
    done = quickstart("sideways", check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr
