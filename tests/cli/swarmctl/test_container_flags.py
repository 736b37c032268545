from typing import Any

import pytest

from cli.swarmctl import container_flags

OUT = {"AttachStdout": True, "AttachStderr": True}


def made(*command: str, **given: Any) -> dict[str, Any]:
    flags = {name.replace("_", "-"): value for name, value in given.items()}
    return container_flags.created("i", command, flags, "/home/me")


def test_what_is_not_given_is_not_sent() -> None:
    assert made() == {"Image": "i", "HostConfig": {}, **OUT}


CONFIG: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "names and places": (
        {"hostname": "h", "domainname": "d", "user": "1:2", "workdir": "/w", "stop_signal": "INT", "stop_timeout": "3"},
        {"Hostname": "h", "Domainname": "d", "User": "1:2", "WorkingDir": "/w", "StopSignal": "INT", "StopTimeout": 3},
    ),
    "variables, the last one wins": ({"env": ("A=1", "B=2", "A=3")}, {"Env": ["A=3", "B=2"]}),
    "labels": ({"label": ("a=1", "b")}, {"Labels": {"a": "1", "b": ""}}),
    "an entrypoint": ({"entrypoint": "/run"}, {"Entrypoint": ["/run"]}),
    "no entrypoint": ({"entrypoint": ""}, {"Entrypoint": [""]}),
    "exposed ports": ({"expose": ("80", "81/udp")}, {"ExposedPorts": {"80/tcp": {}, "81/udp": {}}}),
    "an anonymous volume": ({"volume": ("/data",)}, {"Volumes": {"/data": {}}}),
    "a healthcheck": (
        {"health_cmd": "true", "health_interval": "1s", "health_retries": "2"},
        {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 10**9, "Retries": 2}},
    ),
    "no healthcheck": ({"no_healthcheck": True}, {"Healthcheck": {"Test": ["NONE"]}}),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), CONFIG.values(), ids=CONFIG)
def test_what_the_container_is(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made(**given) == {"Image": "i", "HostConfig": {}, **OUT, **expected}


HOST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "limits": (
        {"memory": "64m", "memory_swap": "-1", "cpus": "0.5", "pids_limit": "-1", "cpuset_cpus": "0-1"},
        {"Memory": 67108864, "MemorySwap": -1, "NanoCpus": 500000000, "PidsLimit": -1, "CpusetCpus": "0-1"},
    ),
    "switches": (
        {"rm": True, "privileged": True, "read_only": True, "init": True, "publish_all": True},
        {"AutoRemove": True, "Privileged": True, "ReadonlyRootfs": True, "Init": True, "PublishAllPorts": True},
    ),
    "a switch that is off": ({"init": False}, {"Init": False}),
    "rights": ({"cap_add": ("A", "B"), "cap_drop": ("ALL",)}, {"CapAdd": ["A", "B"], "CapDrop": ["ALL"]}),
    "binds": (
        {"volume": ("/a:/b:ro", "name:/c", "./d:/d", "../e:/e")},
        {"Binds": ["/a:/b:ro", "name:/c", "/home/me/d:/d", "/home/e:/e"]},
    ),
    "mounts": (
        {"mount": ("type=tmpfs,dst=/t",), "tmpfs": ("/run:size=1m",)},
        {"Mounts": [{"Type": "tmpfs", "Target": "/t"}], "Tmpfs": {"/run": "size=1m"}},
    ),
    "logs": (
        {"log_driver": "local", "log_opt": ("max-size=1m", "max-file=2")},
        {"LogConfig": {"Type": "local", "Config": {"max-size": "1m", "max-file": "2"}}},
    ),
    "a restart policy": ({"restart": "always"}, {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 0}}),
    "devices": (
        {"device": ("/dev/fuse", "v.com/gpu=1"), "gpus": "all"},
        {
            "Devices": [
                {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}
            ],
            "DeviceRequests": [
                {"Driver": "cdi", "DeviceIDs": ["v.com/gpu=1"]},
                {"Driver": "", "Count": -1, "Options": {}, "Capabilities": [["gpu"]]},
            ],
        },
    ),
    "security": (
        {"security_opt": ("no-new-privileges", "systempaths=unconfined")},
        {"MaskedPaths": [], "ReadonlyPaths": [], "SecurityOpt": ["no-new-privileges"]},
    ),
    "spaces": (
        {"pid": "host", "ipc": "container:x", "uts": "host", "userns": "host", "network": ("none",)},
        {"PidMode": "host", "IpcMode": "container:x", "UTSMode": "host", "UsernsMode": "host",
         "NetworkMode": "none"},
    ),
    "another runtime": ({"runtime": "crun", "shm_size": "1g"}, {"Runtime": "crun", "ShmSize": 1073741824}),
    "ulimits": ({"ulimit": ("nofile=1:2",)}, {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]}),
}  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), HOST.values(), ids=HOST)
def test_what_the_host_gives_it(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made(**given) == {"Image": "i", "HostConfig": expected, **OUT}


def test_a_command_replaces_the_images() -> None:
    assert made("sh", "-c", "x")["Cmd"] == ["sh", "-c", "x"]


def test_published_ports_stand_in_two_places() -> None:
    body = made(publish=("8080:80", "8081:80", "53:53/udp"))
    assert body["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert body["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "", "HostPort": "8081"}],
        "53/udp": [{"HostIp": "", "HostPort": "53"}],
    }


ATTACHED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "in the foreground": ({}, OUT),
    "with input": (
        {"interactive": True, "tty": True},
        {**OUT, "AttachStdin": True, "StdinOnce": True, "OpenStdin": True, "Tty": True},
    ),
    "only what is named": ({"attach": ("STDERR",)}, {"AttachStderr": True}),
    "in the background": ({"detach": True, "interactive": True}, {"OpenStdin": True}),
}


@pytest.mark.parametrize(("given", "expected"), ATTACHED.values(), ids=ATTACHED)
def test_what_is_attached(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert made(**given) == {"Image": "i", "HostConfig": {}, **expected}


ENDS: dict[str, tuple[dict[str, Any], str, dict[str, Any] | None]] = {
    "a network by its name": ({"network": ("n",)}, "n", None),
    "an alias": (
        {"network": ("n",), "network_alias": ("a",)}, "n", {"n": {"Aliases": ["a"]}},
    ),
    "addresses": (
        {"network": ("n",), "ip": "10.0.0.2", "ip6": "fd::2"}, "n",
        {"n": {"IPAMConfig": {"IPv4Address": "10.0.0.2", "IPv6Address": "fd::2"}}},
    ),
    "several": (
        {"network": ("n", "name=m,alias=x")}, "n", {"n": {}, "m": {"Aliases": ["x"]}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "mode", "ends"), ENDS.values(), ids=ENDS)
def test_its_networks(given: dict[str, Any], mode: str, ends: dict[str, Any] | None) -> None:
    body = made(**given)
    assert body["HostConfig"]["NetworkMode"] == mode
    assert body.get("NetworkingConfig") == (ends and {"EndpointsConfig": ends})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a size": ({"memory": "x"}, "--memory: invalid size 'x'"),
    "a port": ({"publish": ("x",)}, "--publish: invalid port 'x'"),
    "a volume": ({"volume": ("/a:b",)}, "--volume: invalid volume"),
    "a stream": ({"attach": ("stdx",)}, "use stdin, stdout or stderr"),
    "removed and restarted": ({"rm": True, "restart": "always"}, "both --restart and --rm"),
    "attached and detached": ({"detach": True, "attach": ("stdin",)}, "both --attach and --detach"),
    "checked and not": ({"no_healthcheck": True, "health_cmd": "x"}, "conflicts with --health"),
}


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=WRONG)
def test_refuses(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        made(**given)


def test_an_update_sends_only_what_changes() -> None:
    given = {"memory": "64m", "restart": "no", "cpus": None}
    changed = {name: value for name, value in given.items() if value}
    assert container_flags.updated(changed) == {
        "Memory": 67108864,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    }
