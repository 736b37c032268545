"""The real docker CLI and the docker SDK, unchanged, on swarmd's socket."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from integration.host import Host, wait_for
from integration.links import run

needs_docker = pytest.mark.skipif(
    shutil.which("docker") is None, reason="the docker CLI is not installed here"
)


@pytest.fixture
def sdk(shared_host: Host) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=shared_host.socket)
    yield client
    client.close()


@needs_docker
def test_docker_cli_through_a_services_life(shared_host: Host) -> None:
    host = shared_host
    assert "active" in host.docker("info", "--format", "{{.Swarm.LocalNodeState}}").stdout
    assert "Leader" in host.docker("node", "ls").stdout
    host.docker(
        "service",
        "create",
        "--quiet",
        "--detach",
        "--name",
        "cli",
        "--replicas",
        "2",
        "--publish",
        "8081:80",
        "hello:1",
    )
    host.wait_running("cli")
    assert "2/2" in host.docker("service", "ls").stdout
    assert host.docker("service", "ps", "cli").stdout.count("Running") >= 2
    assert "cli" in host.docker("service", "inspect", "--pretty", "cli").stdout
    assert host.docker("service", "scale", "cli=3").returncode == 0
    host.docker(
        "service", "update", "--quiet", "--image", "hello:2", "--update-monitor", "100ms", "cli"
    )
    assert "version 2" in host.page(8081)
    host.docker("service", "rollback", "--quiet", "cli")
    assert "version 1" in host.page(8081)
    assert host.docker("service", "logs", "cli").returncode == 0
    assert "hello" in host.docker("images").stdout
    assert "cli.1" in host.docker("ps").stdout
    assert host.docker("service", "rm", "cli").stdout.strip() == "cli"
    wait_for("its containers to go", lambda: not host.docker("ps", "-q").stdout)


@needs_docker
def test_docker_cli_loads_and_removes_images(shared_host: Host) -> None:
    host = shared_host
    archive = host.directory / "hello.tar"
    assert "sha256:" in host.docker("import", str(archive), "imported:1").stdout
    assert json.loads(host.docker("inspect", "imported:1").stdout)[0]["RepoTags"] == ["imported:1"]
    assert "Untagged: imported:1" in host.docker("rmi", "imported:1").stdout


def test_sdk_through_a_services_life(shared_host: Host, sdk: docker.DockerClient) -> None:
    host = shared_host
    assert sdk.ping()
    assert sdk.info()["Swarm"]["LocalNodeState"] == "active"
    (node,) = sdk.nodes.list()
    assert node.attrs["Status"]["State"] == "ready"
    endpoint_spec: Any = docker.types.EndpointSpec
    create: Any = sdk.services.create  # types-docker leaves parts of it untyped
    service = create(
        "hello:1",
        name="sdk",
        env=["REPLICA={{.Task.Slot}}"],
        mode=docker.types.ServiceMode("replicated", replicas=2),
        endpoint_spec=endpoint_spec(ports={8082: 80}),
        update_config=docker.types.UpdateConfig(
            parallelism=1, order="start-first", monitor=100_000_000
        ),
        labels={"made-by": "sdk"},
    )
    host.wait_running("sdk")
    assert [found.id for found in sdk.services.list(filters={"label": ["made-by=sdk"]})] == [
        service.id
    ]
    assert {task["Slot"] for task in service.tasks(filters={"desired-state": "running"})} == {1, 2}
    service.reload()
    assert service.scale(1)
    host.wait_running("sdk")
    service.reload()
    assert service.update(image="hello:2")
    wait_for("the new version", lambda: "version 2" in host.page(8082, check=False))
    logs = b"".join(service.logs(stdout=True, stderr=True))
    assert isinstance(logs, bytes)
    assert sdk.containers.list()
    service.remove()
    get: Any = sdk.services.get
    with pytest.raises(docker.errors.NotFound):
        get("sdk")
    wait_for("its containers to go", lambda: not sdk.containers.list(all=True, ignore_removed=True))


@needs_docker
def test_docker_cli_with_a_secret_and_a_config(shared_host: Host) -> None:
    host = shared_host
    file = host.directory / "payload"
    file.write_text("from docker")
    host.docker("secret", "create", "--label", "a=b", "csec", str(file))
    host.docker("config", "create", "ccfg", str(file))
    assert "csec" in host.docker("secret", "ls").stdout
    assert "from docker" in host.docker("config", "inspect", "--pretty", "ccfg").stdout
    assert "from docker" not in host.docker("secret", "inspect", "--pretty", "csec").stdout
    host.docker(
        "service", "create", "--quiet", "--detach", "--name", "files", "--secret", "csec",
        "--config", "source=ccfg,target=/etc/cfg,mode=0400", "hello:1",
    )  # fmt: skip
    host.wait_running("files")
    (task,) = host.running("files")
    root = Path(f"/proc/{task['Status']['ContainerStatus']['PID']}/root")
    assert (
        (root / "run/secrets/csec").read_text() == (root / "etc/cfg").read_text() == "from docker"
    )
    refused = host.docker("secret", "rm", "csec", check=False).stderr
    assert "secret 'csec' is in use by the following service: files" in refused
    host.docker("service", "rm", "files")
    assert host.docker("secret", "rm", "csec").stdout == "csec\n"
    assert host.docker("config", "rm", "ccfg").stdout == "ccfg\n"


def test_sdk_with_a_secret_and_a_config(sdk: docker.DockerClient) -> None:
    secrets, configs = sdk.secrets, sdk.configs
    made = secrets.create(name="sdk-secret", data=b"x", labels={"a": "b"})
    secrets.get(made.id or "").reload()
    (listed,) = secrets.list(filters={"names": ["sdk-secret"]})
    assert (listed.name, "Data" in listed.attrs["Spec"]) == ("sdk-secret", False)
    configs.create(name="sdk-config", data=b"x")
    (config,) = configs.list()
    assert config.attrs["Spec"]["Data"] == "eA=="
    with pytest.raises(docker.errors.APIError, match="sdk-config already exists"):
        configs.create(name="sdk-config", data=b"y")
    assert listed.remove()
    assert config.remove()
    assert secrets.list() == configs.list() == []


def test_the_api_answers_old_and_new_clients(shared_host: Host) -> None:
    socket = shared_host.socket.removeprefix("unix://")
    for version in ("1.24", "1.41", "1.50"):
        done = run("curl", "-sS", "--unix-socket", socket, f"http://localhost/v{version}/version")
        assert json.loads(done.stdout)["ApiVersion"] == "1.50"
    too_new = run("curl", "-sS", "--unix-socket", socket, "http://localhost/v1.99/version")
    assert "too new" in json.loads(too_new.stdout)["message"]
