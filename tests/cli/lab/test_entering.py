from pathlib import Path

import pytest

from cli.lab.entering import environment
from cli.lab.host import Host, Places
from cli.lab.links import Switch


@pytest.fixture
def host(tmp_path: Path) -> Host:
    places = Places(
        data_root=tmp_path / "data",
        exec_root=Path("/run/swarmd-lab/x/m1"),
        log=tmp_path / "log",
        cgroup_parent="/x",
        compiled=tmp_path,
    )
    return Host("x-m1", places, Switch("x", "10.124.0.0/24").port(1, "m1"), hostname="m1")


def test_both_clients_talk_to_the_hosts_swarmd_whatever_was_set(host: Host, tmp_path: Path) -> None:
    given = {
        "DOCKER_HOST": "tcp://elsewhere",
        "DOCKER_CONTEXT": "other",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": "/c",
        "KEPT": "yes",
        "PATH": "/bin",
    }
    socket = "unix:///run/swarmd-lab/x/m1/swarmd.sock"
    assert environment(host, given, tmp_path) == {
        "DOCKER_HOST": socket,
        "SWARM_HOST": socket,
        "HOSTNAME": "m1",
        "KEPT": "yes",
        "PATH": "/bin",
    }


PATHS = {
    "is put first": ("/bin", "{programs}:/bin"),
    "is left where it is": ("/bin:{programs}", "/bin:{programs}"),
}


@pytest.mark.parametrize(("given", "expected"), PATHS.values(), ids=PATHS)
def test_where_swarmctl_is(host: Host, tmp_path: Path, given: str, expected: str) -> None:
    (tmp_path / "swarmctl").touch()
    made = environment(host, {"PATH": given.format(programs=tmp_path)}, tmp_path)
    assert made["PATH"] == expected.format(programs=tmp_path)
