"""The commands for containers on an API with chosen answers: what is sent, what is shown, how it ends."""

import base64
import io
import json
import os
import socket
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.swarmctl.conftest import Run
from tests.support.unix_api import Answer, UnixApi

ID = "c" * 64
FOUND = {
    "Id": ID,
    "State": {"Running": True},
    "Config": {"Tty": False, "OpenStdin": True},
    "HostConfig": {},
}
NONE = Answer(status=404, body={"message": "No such container: web.1"})


def frame(channel: int, payload: bytes) -> bytes:
    return bytes([channel, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def says(*frames: bytes) -> Answer:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"".join(frames))

    return Answer(talk=talk)


@pytest.fixture(autouse=True)
def containers(api: UnixApi) -> UnixApi:
    """A container that can be made and started, and ends with 3."""
    api.answer("POST /containers/create", Answer(status=201, body={"Id": ID, "Warnings": ["W"]}))
    api.answer(f"POST /containers/{ID}/attach", says(frame(1, b"out\n"), frame(2, b"err\n")))
    api.answer(f"POST /containers/{ID}/wait", {"StatusCode": 3})
    api.answer(f"POST /containers/{ID}/start", Answer(status=204))
    api.answer(f"GET /containers/{ID}/json", FOUND)
    api.answer("GET /containers/web/json", FOUND)
    return api


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """Says what is piped in."""
    opened: list[io.TextIOWrapper] = []

    def pipe(content: bytes) -> None:
        read, write = os.pipe()
        with os.fdopen(write, "wb") as file:
            file.write(content)
        opened.append(os.fdopen(read))
        monkeypatch.setattr(sys, "stdin", opened[-1])

    yield pipe
    for file in opened:
        file.close()


def order(api: UnixApi) -> list[str]:
    return [f"{item.method} {item.path.replace(ID, 'ID')}" for item in api.requests]


# ------------------------------------------------------------------------------------------- run


def test_run_stays_to_the_end(api: UnixApi, run: Run) -> None:
    code, out, err = run("run", "--rm", "--name", "web", "-e", "A=1", "hello:1", "sh", "-c", "x")
    assert (code, out, err) == (3, "out\n", "WARNING: W\nerr\n")
    assert order(api) == [
        "POST /containers/create",
        "POST /containers/ID/attach",
        "POST /containers/ID/wait",
        "POST /containers/ID/start",
    ]
    created = api.sent("POST /containers/create")
    assert created.query == {"name": "web"}
    assert (created.json["Env"], created.json["Cmd"]) == (["A=1"], ["sh", "-c", "x"])
    assert api.sent(f"POST /containers/{ID}/attach").query == {
        "stream": "1", "stdout": "1", "stderr": "1",
    }  # fmt: skip
    assert api.sent(f"POST /containers/{ID}/wait").query == {"condition": "removed"}


def test_run_sends_its_input_to_the_end(
    api: UnixApi, run: Run, stdin: Callable[[bytes], None]
) -> None:
    def count(connection: socket.socket) -> None:
        size = 0
        while chunk := connection.recv(65536):
            size += len(chunk)
        connection.sendall(frame(1, b"%d" % size))

    api.answer(f"POST /containers/{ID}/attach", Answer(talk=count))
    stdin(b"x" * 50_000)
    assert run("run", "-i", "hello:1")[:2] == (3, "50000")
    assert api.sent("POST /containers/create").json["StdinOnce"] is True


def test_run_in_the_background_shows_the_id(api: UnixApi, run: Run) -> None:
    assert run("run", "-d", "hello:1")[:2] == (0, f"{ID}\n")
    assert order(api) == ["POST /containers/create", "POST /containers/ID/start"]


STARTS = {
    "no such command": ('exec: "/x": executable file not found in $PATH', 127),
    "no such file": ('exec: "/x": stat /x: no such file or directory', 127),
    "no right to": ('exec: "/x": permission denied', 126),
    "anything else": ("port is already allocated", 125),
}


@pytest.mark.parametrize(("says", "code"), STARTS.values(), ids=STARTS)
def test_a_refused_start_has_dockers_exit_code(
    api: UnixApi, run: Run, says: str, code: int
) -> None:
    api.answer(f"POST /containers/{ID}/start", Answer(status=500, body={"message": says}))
    ended, _, err = run("run", "hello:1")
    assert (ended, f"swarmctl: Error response from daemon: {says}" in err) == (code, True)


def test_an_image_that_is_not_here_is_not_pulled(api: UnixApi, run: Run) -> None:
    missing = Answer(status=404, body={"message": "No such image: nope:latest"})
    api.answer("POST /containers/create", missing)
    code, _, err = run("run", "nope")
    assert code == 125
    assert "Unable to find image 'nope:latest' locally, and swarmd does not pull" in err
    assert run("run", "--pull", "always", "nope")[0] == 125


WRONG = {
    "an unknown flag": (("run", "--nope", "hello:1"), 125, "--nope"),
    "no image": (("run",), 125, "IMAGE"),
    "a flag of Windows": (("run", "--cpu-count", "2", "hello:1"), 125, "are not available yet"),
    "a checkpoint": (("start", "--checkpoint", "x", "web"), 2, "checkpoints are not available yet"),
    "a size": (("run", "-m", "x", "hello:1"), 125, "--memory: invalid size"),
    "keys": (("run", "--detach-keys", "ctrl", "hello:1"), 1, "Invalid escape keys (ctrl)"),
}


@pytest.mark.parametrize(("words", "code", "says"), WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_makes_nothing(
    api: UnixApi, run: Run, words: tuple[str, ...], code: int, says: str
) -> None:
    ended, _, err = run(*words)
    assert (ended, says in err) == (code, True), err
    assert api.requests == []


def test_a_terminal_that_is_none_is_refused(
    api: UnixApi, run: Run, stdin: Callable[[bytes], None]
) -> None:
    stdin(b"")
    assert run("run", "-it", "hello:1") == (1, "", "the input device is not a TTY\n")
    assert api.requests == []


ENDS: dict[str, tuple[Answer, str]] = {
    "of a daemon that goes away": (Answer(chunks=[]), "error waiting for container: swarmd went"),
    "cut off": (Answer(chunks=[b'{"Sta'], cut=True), "error waiting for container: "),
    "that failed": (Answer(body={"StatusCode": 0, "Error": {"Message": "lost"}}), "Error: lost"),
}


@pytest.mark.parametrize(("answer", "says"), ENDS.values(), ids=ENDS)
def test_an_end_that_cannot_be_learnt_is_none_of_the_containers(
    api: UnixApi, run: Run, answer: Answer, says: str
) -> None:
    api.answer(f"POST /containers/{ID}/wait", answer)
    code, _, err = run("run", "hello:1")
    assert (code, says in err) == (125, True), err


def test_files_are_sent_as_texts(api: UnixApi, run: Run, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("# not this\n\nA=1\nB=2\n")
    (tmp_path / "labels").write_text("a=b\n")
    (tmp_path / "seccomp.json").write_text('{\n "defaultAction": "SCMP_ACT_ALLOW"\n}')
    words = (
        "--env-file", f"{tmp_path}/env", "-e", "B=3", "--label-file", f"{tmp_path}/labels",
        "--security-opt", f"seccomp={tmp_path}/seccomp.json", "--cidfile", f"{tmp_path}/id",
    )  # fmt: skip
    assert run("create", *words, "hello:1")[:2] == (0, f"{ID}\n")
    body = api.sent("POST /containers/create").json
    assert (body["Env"], body["Labels"]) == (["A=1", "B=3"], {"a": "b"})
    assert body["HostConfig"]["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
    assert (tmp_path / "id").read_text() == ID
    assert "container ID file found" in run("create", *words, "hello:1")[2]


# --------------------------------------------------------------------------- exec, attach, start


@pytest.fixture
def made_exec(api: UnixApi) -> UnixApi:
    """An exec that says something and ends with 7."""
    api.answer("POST /containers/web/exec", Answer(status=201, body={"Id": "e1"}))
    api.answer("POST /exec/e1/start", says(frame(1, b"out\n")))
    api.answer("GET /exec/e1/json", {"ExitCode": 7})
    return api


def test_exec_ends_as_the_command(made_exec: UnixApi, run: Run) -> None:
    words = ("exec", "-u", "1", "-w", "/w", "-e", "A=1", "web", "sh", "-c", "--detach=false")
    assert run(*words) == (7, "out\n", "")
    body = made_exec.sent("POST /containers/web/exec").json
    assert body == {
        "AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "Tty": False,
        "Privileged": False, "User": "1", "WorkingDir": "/w", "Env": ["A=1"],
        "Cmd": ["sh", "-c", "--detach=false"],
    }  # fmt: skip


def test_a_detached_exec_is_left_alone(made_exec: UnixApi, run: Run) -> None:
    made_exec.answer("POST /exec/e1/start", Answer(status=200))
    assert run("exec", "-d", "web", "true") == (0, "", "")
    assert made_exec.sent("POST /exec/e1/start").json == {"Detach": True, "Tty": False}


def test_exec_of_no_command_has_dockers_exit_code(made_exec: UnixApi, run: Run) -> None:
    refused = Answer(status=400, body={"message": 'exec: "x": executable file not found in $PATH'})
    made_exec.answer("POST /exec/e1/start", refused)
    assert run("exec", "web", "x")[0] == 127


def test_attach_ends_as_the_container(api: UnixApi, run: Run) -> None:
    assert run("attach", "--no-stdin", "web") == (3, "out\n", "err\n")


STATES = {
    "stopped": ({"Running": False}, "You cannot attach to a stopped container, start it first"),
    "paused": ({"Running": True, "Paused": True}, "to a paused container, unpause it first"),
    "restarting": ({"Running": True, "Restarting": True}, "to a restarting container, wait until"),
}


@pytest.mark.parametrize(("state", "says"), STATES.values(), ids=STATES)
def test_attach_needs_one_that_runs(
    api: UnixApi, run: Run, state: dict[str, bool], says: str
) -> None:
    api.answer("GET /containers/web/json", FOUND | {"State": state})
    code, _, err = run("attach", "web")
    assert (code, says in err) == (1, True)


def test_start_with_attach_stays(api: UnixApi, run: Run) -> None:
    assert run("start", "-a", "web") == (3, "out\n", "err\n")
    assert api.sent(f"POST /containers/{ID}/wait").query == {"condition": "next-exit"}


def test_start_names_those_it_could_not(api: UnixApi, run: Run) -> None:
    api.answer("POST /containers/web/start", Answer(status=204))
    code, out, err = run("start", "web", "gone")
    assert (code, out) == (1, "web\n")
    assert err.endswith("Error: failed to start containers: gone\n")


# ------------------------------------------------------------------------------- on other nodes


TASK = {"ID": "t1", "NodeID": "n2", "Slot": 1, "Status": {"ContainerStatus": {"ContainerID": ID}}}


@pytest.mark.parametrize("name", ["t1", "web.1", "web.1.t1"])
def test_a_tasks_container_is_found_on_its_node(api: UnixApi, run: Run, name: str) -> None:
    api.answer("GET /tasks", [TASK | {"Slot": 2, "NodeID": "n3"}, TASK])
    api.answer("GET /tasks/t1", TASK)
    api.answer(f"POST /containers/{ID}/exec", Answer(status=201, body={"Id": "e1"}))
    api.answer("POST /exec/e1/start", says(frame(1, b"there\n")))
    api.answer("GET /exec/e1/json", {"ExitCode": 0})
    assert run("exec", name, "hostname") == (0, "there\n", "")
    asked = {item.path: item.headers.get("X-Swarmd-Node") for item in api.requests}
    assert asked[f"/containers/{ID}/exec"] == asked["/exec/e1/start"] == "n2"
    assert asked["/exec/e1/json"] == "n2"


def test_a_task_without_a_container_says_how_far_it_is(api: UnixApi, run: Run) -> None:
    api.answer("GET /tasks/t1", TASK | {"Status": {"State": "preparing"}})
    assert run("logs", "t1") == (1, "", "Error: task t1 has no container: it is preparing\n")


def test_neither_container_nor_task_is_dockers_error(api: UnixApi, run: Run) -> None:
    api.answer(
        "POST /containers/nope/stop", Answer(status=404, body={"message": "No such c: nope"})
    )
    assert run("stop", "nope") == (1, "", "Error response from daemon: No such c: nope\n")


def test_node_asks_the_node_and_looks_for_no_task(api: UnixApi, run: Run) -> None:
    api.answer("GET /containers/json", [])
    assert run("ps", "-q", "--node", "n2") == (0, "", "")
    assert api.sent("GET /containers/json").headers["X-Swarmd-Node"] == "n2"
    assert run("container", "inspect", "--node", "n2", "nope")[0] == 1
    assert "GET /tasks/nope" not in order(api)


# ------------------------------------------------------------------------------ changes and lists


POSTS: dict[str, tuple[tuple[str, ...], str, dict[str, str]]] = {
    "stop": (("stop", "-t", "3", "-s", "INT", "web"), "stop", {"t": "3", "signal": "INT"}),
    "restart": (("restart", "web"), "restart", {}),
    "kill": (("kill", "web"), "kill", {"signal": "KILL"}),
    "pause": (("pause", "web"), "pause", {}),
    "unpause": (("container", "unpause", "web"), "unpause", {}),
}


@pytest.mark.parametrize(("words", "what", "query"), POSTS.values(), ids=POSTS)
def test_acts_on_containers(
    api: UnixApi, run: Run, words: tuple[str, ...], what: str, query: dict[str, str]
) -> None:
    api.answer(f"POST /containers/web/{what}", Answer(status=204))
    assert run(*words) == (0, "web\n", "")
    assert api.sent(f"POST /containers/web/{what}").query == query


def test_rm_removes_what_it_can(api: UnixApi, run: Run) -> None:
    api.answer("DELETE /containers/web", Answer(status=204))
    code, out, err = run("rm", "-fv", "web", "gone")
    assert (code, out) == (1, "web\n")
    assert "Error response from daemon: nothing at DELETE /containers/gone" in err
    assert api.sent("DELETE /containers/web").query == {"force": "1", "v": "1"}


def test_wait_shows_exit_codes(api: UnixApi, run: Run) -> None:
    assert run("wait", ID) == (0, "3\n", "")


def test_update_sends_what_changes(api: UnixApi, run: Run) -> None:
    api.answer("POST /containers/web/update", {"Warnings": ["W"]})
    assert run("update", "-m", "64m", "--restart", "always", "web") == (0, "web\n", "WARNING: W\n")
    assert api.sent("POST /containers/web/update").json == {
        "Memory": 67108864, "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    }  # fmt: skip
    assert run("update", "web")[0] == 2


def test_port_shows_where(api: UnixApi, run: Run) -> None:
    both = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]
    ports = {"80/tcp": both, "53/udp": None}
    api.answer("GET /containers/web/json", FOUND | {"NetworkSettings": {"Ports": ports}})
    assert run("port", "web")[1] == "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n"
    assert run("port", "web", "80")[1] == "0.0.0.0:8080\n[::]:8080\n"
    assert run("port", "web", "53/udp")[0] == 1


def test_top_and_diff(api: UnixApi, run: Run) -> None:
    api.answer("GET /containers/web/top", {"Titles": ["PID", "CMD"], "Processes": [["1", "sh -c"]]})
    assert run("top", "web", "-ef")[1] == "PID       CMD\n1         sh -c\n"
    assert api.sent("GET /containers/web/top").query == {"ps_args": "-ef"}
    api.answer(
        "GET /containers/web/changes", [{"Kind": 0, "Path": "/a"}, {"Kind": 2, "Path": "/b"}]
    )
    assert run("diff", "web")[1] == "C /a\nD /b\n"


def test_commit_names_the_image(api: UnixApi, run: Run) -> None:
    api.answer("POST /commit", Answer(status=201, body={"Id": "sha256:1"}))
    words = ("commit", "-c", "CMD a", "-c", "ENV b=c", "-p=false", "web", "host:5000/name:tag")
    assert run(*words)[:2] == (0, "sha256:1\n")
    assert api.sent("POST /commit").query == {
        "container": "web", "repo": "host:5000/name", "tag": "tag", "changes": "CMD a\nENV b=c",
        "pause": "0",
    }  # fmt: skip


def test_prune_asks_first(api: UnixApi, run: Run, stdin: Callable[[bytes], None]) -> None:
    pruned = {"ContainersDeleted": [ID], "SpaceReclaimed": 2_000_000}
    api.answer("POST /containers/prune", pruned)
    stdin(b"n\n")
    code, out, _ = run("container", "prune")
    assert (code, "WARNING! This will remove all stopped containers." in out) == (0, True)
    assert api.requests == []
    assert run("container", "prune", "-f", "--filter", "until=1h")[1] == (
        f"Deleted Containers:\n{ID}\n\nTotal reclaimed space: 2MB\n"
    )
    assert json.loads(api.sent("POST /containers/prune").query["filters"]) == {
        "until": {"1h": True}
    }


def test_stats_once(api: UnixApi, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.swarmctl.containers.stats.EVERY_SECONDS", 0.0)

    def sample(used: int, passed: int) -> dict[str, Any]:
        cpu = {"cpu_usage": {"total_usage": used}, "system_cpu_usage": passed, "online_cpus": 1}
        return {"id": ID, "name": "/web", "cpu_stats": cpu}

    api.answer("GET /containers/json", [{"Id": ID}])
    api.answer(f"GET /containers/{ID}/stats", sample(0, 0), sample(1, 4))
    assert run("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}}")[1] == "web 25.00%\n"


# -------------------------------------------------------------------------------------- files


def stat_of(mode: int, link: str = "") -> dict[str, str]:
    text = json.dumps({"name": "n", "size": 1, "mode": mode, "linkTarget": link})
    return {"X-Docker-Container-Path-Stat": base64.b64encode(text.encode()).decode()}


def tar(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            made.addfile(member, io.BytesIO(b"hi"))
    return file.getvalue()


def test_cp_from_a_container(api: UnixApi, run: Run, tmp_path: Path) -> None:
    answer = Answer(chunks=[tar("hosts")], headers=stat_of(0o644))
    api.answer("GET /containers/web/archive", answer)
    assert run("cp", "web:etc/hosts", f"{tmp_path}/mine") == (0, "", "")
    assert api.sent("GET /containers/web/archive").query == {"path": "/etc/hosts"}
    assert (tmp_path / "mine").read_text() == "hi"


def test_cp_to_a_container(api: UnixApi, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hi")
    api.answer("HEAD /containers/web/archive", Answer(status=404))
    api.answer("PUT /containers/web/archive", Answer(status=200))
    assert run("cp", "-a", f"{tmp_path}/file", "web:/etc/other") == (0, "", "")
    sent = api.sent("PUT /containers/web/archive")
    assert sent.query == {"path": "/etc", "noOverwriteDirNonDir": "true", "copyUIDGID": "true"}
    with tarfile.open(fileobj=io.BytesIO(sent.body)) as made:
        assert made.getnames() == ["other"]


def test_cp_follows_a_link_in_the_container(api: UnixApi, run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hi")
    link, directory = stat_of(1 << 27, "data"), stat_of(1 << 31)
    api.answer("HEAD /containers/web/archive", Answer(headers=link), Answer(headers=directory))
    api.answer("PUT /containers/web/archive", Answer(status=200))
    assert run("cp", f"{tmp_path}/file", "web:/srv/link")[0] == 0
    assert api.sent("PUT /containers/web/archive").query["path"] == "/srv/data"


def test_cp_streams_archives(api: UnixApi, run: Run, stdin: Callable[[bytes], None]) -> None:
    api.answer("HEAD /containers/web/archive", Answer(headers=stat_of(1 << 31)))
    api.answer("PUT /containers/web/archive", Answer(status=200))
    stdin(b"as it is")
    assert run("cp", "-", "web:/srv")[0] == 0
    assert api.sent("PUT /containers/web/archive").body == b"as it is"


WRONG_COPIES = {
    "two containers": (("a:/x", "b:/y"), 2, "copying between containers is not supported"),
    "no container": (("/x", "/y"), 2, "must specify at least one container source"),
    "nothing there": (("/no/where", "web:/y"), 1, "lstat /no/where: no such file or directory"),
    "nowhere to": (("web:/x", "/no/where/at"), 1, 'directory "/no/where" does not exist'),
}


@pytest.mark.parametrize(("words", "code", "says"), WRONG_COPIES.values(), ids=WRONG_COPIES)
def test_cp_refuses(api: UnixApi, run: Run, words: tuple[str, str], code: int, says: str) -> None:
    api.answer("GET /containers/web/archive", Answer(chunks=[b""], headers=stat_of(0o644)))
    api.answer("HEAD /containers/web/archive", Answer(headers=stat_of(1 << 31)))
    ended, _, err = run("cp", *words)
    assert (ended, says in err) == (code, True), err
