"""What happens to containers by the API, with processes that only say so."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.local_node import Node, local_node, until
from worker.containers.execs import ExecState
from worker.runtime.bundle import FurtherProcess

ONE_SHOT: dict[str, Any] = {"stream": "0", "one-shot": "1"}
UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with local_node(tmp_path) as made:
        await made.load(Cmd=["serve"], ExposedPorts={"80/tcp": {}})
        yield made


async def post(node: Node, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
    async with node.client.post(path, params=query, json=body) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text.strip() else None


async def create(node: Node, name: str, **config: Any) -> str:
    status, made = await post(node, "/containers/create", {"Image": "hello:1", **config}, name=name)
    assert status == 201, made
    return str(made["Id"])


async def test_from_create_to_removal(node: Node) -> None:
    container_id = await create(node, "one", Env=["A=1"])
    shown = await node.get("/containers/one/json")
    assert (shown["Config"]["Cmd"], shown["Config"]["Entrypoint"]) == (["serve"], None)
    assert shown["Config"]["ExposedPorts"] == {"80/tcp": {}}
    for path, expected in {
        "one/start": 204,
        "/one/start": 404,
        f"{container_id[:63]}x/start": 404,
    }.items():
        assert (await post(node, f"/containers/{path}"))[0] == expected, path
    assert (await post(node, "/containers/one/start"))[0] == 304
    assert (await post(node, "/containers/one/rename", name="two"))[0] == 204
    assert (await post(node, "/containers/two/pause"))[0] == 204
    assert [item["State"] for item in await node.get("/containers/json")] == ["paused"]
    assert (await post(node, "/containers/two/unpause"))[0] == 204
    assert (await post(node, "/containers/two/resize", h="10", w="20"))[0] in (200, 404)
    assert (await post(node, "/containers/two/update", {"CpuShares": 5}))[1] == {"Warnings": []}
    status, refused = await node.send("DELETE", "/containers/two")
    assert status == 409
    assert "container is running" in refused
    assert (await post(node, "/containers/two/kill", signal="INT"))[0] == 204
    assert node.runtime.signals == [(container_id, 2)]
    assert (await post(node, "/containers/two/stop"))[0] in (204, 304)
    assert (await post(node, "/containers/two/stop"))[0] == 304
    assert (await node.send("DELETE", "/containers/two", v="1"))[0] == 204
    assert await node.get("/containers/json", all="1") == []


REFUSED: dict[str, tuple[str, Any, dict[str, str], int]] = {
    "No such image: none:1": ("/containers/create", {"Image": "none:1"}, {}, 404),
    "No such container: other": (
        "/containers/create",
        {"Image": "hello:1", "HostConfig": {"PidMode": "container:other"}},
        {},
        400,
    ),
    "does not provide the specified platform (linux/arm64)": (
        "/containers/create",
        {"Image": "hello:1"},
        {"platform": "linux/arm64"},
        404,
    ),
    "Invalid container name (a b)": (
        "/containers/create",
        {"Image": "hello:1"},
        {"name": "a b"},
        400,
    ),
    'The container name "/one" is already in use': (
        "/containers/create",
        {"Image": "hello:1"},
        {"name": "one"},
        409,
    ),
    'invalid condition: "never"': ("/containers/one/wait", None, {"condition": "never"}, 400),
    "invalid signal: none": ("/containers/one/kill", None, {"signal": "none"}, 400),
    "is not running": ("/containers/one/kill", None, {}, 409),
    "parameter h is missing": ("/containers/one/resize", None, {}, 400),
    "invalid terminal size": ("/containers/one/resize", None, {"h": "1", "w": "70000"}, 400),
    "not a number": ("/containers/one/stop", None, {"t": "soon"}, 400),
    "Invalid escape keys": ("/containers/one/attach", None, {"detachKeys": "ctrl-"}, 400),
    "No exec command specified": ("/containers/one/exec", {"Cmd": []}, {}, 400),
    "needs to be an absolute path": (
        "/containers/one/exec",
        {"Cmd": ["x"], "WorkingDir": "tmp"},
        {},
        400,
    ),
    "No such exec instance: none": ("/exec/none/start", {}, {}, 404),
}


@pytest.mark.parametrize("words", REFUSED)
async def test_refuses(node: Node, words: str) -> None:
    path, body, query, expected = REFUSED[words]
    await create(node, "one")
    status, answer = await post(node, path, body, **query)
    assert (status, words in answer["message"]) == (expected, True), answer


async def test_wait_answers_at_once_and_tells_the_end(node: Node) -> None:
    container_id = await create(node, "one")
    async with node.client.post(
        "/containers/one/wait", params={"condition": "next-exit"}
    ) as answer:
        assert answer.status == 200  # its headers are here, and nothing has been started
        await node.engine.start(container_id)
        await node.runtime.end(container_id, 3)
        assert await answer.json() == {"StatusCode": 3}
    async with node.client.post("/containers/one/wait") as answer:
        assert await answer.json() == {"StatusCode": 3}


async def test_prune_by_label_and_age(node: Node) -> None:
    old = await create(node, "old", Labels={"keep": "no"})
    await create(node, "kept", Labels={"keep": "yes"})
    await node.clock.advance(100)
    await create(node, "new", Labels={"keep": "no"})
    wanted = json.dumps({"label!": ["keep=yes"], "until": ["50s"]})
    status, pruned = await post(node, "/containers/prune", filters=wanted)
    assert (status, pruned["ContainersDeleted"]) == (200, [old])


async def test_stats_once_and_of_what_does_not_run(node: Node) -> None:
    container_id = await create(node, "one")
    nothing = await node.get("/containers/one/stats", **ONE_SHOT)
    assert (nothing["read"], nothing["memory_stats"]) == ("0001-01-01T00:00:00Z", {})
    await node.engine.start(container_id)
    shown = await node.get("/containers/one/stats", **ONE_SHOT)
    assert (shown["name"], shown["pids_stats"]) == ("/one", {"current": 1})
    assert shown["cpu_stats"]["online_cpus"] >= 1
    assert shown["memory_stats"]["limit"] > 0


# -------------------------------------------------------------------------------- attach and exec


async def test_attach_before_the_start_carries_both_ways(node: Node) -> None:
    container_id = await create(node, "one", OpenStdin=True, StdinOnce=True)
    session = node.client.session
    url = node.client.make_url("/containers/one/attach")
    query = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"}
    async with session.post(url, params=query, headers=UPGRADE) as answer:
        assert answer.status == 101
        assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
        ((attached, streams),) = node.runtime.attached
        assert attached == container_id
        assert node.runtime.attach_options == [(True, True, True)]
        connection = answer.connection
        assert connection is not None
        assert connection.transport is not None
        connection.transport.write(b"input")
        await until(lambda: streams.written)
        assert streams.written == [b"input"]
        streams.output.put_nowait((1, b"out"))
        streams.output.put_nowait((2, b"err"))
        streams.output.put_nowait(None)
        await until(lambda: streams.closed)


async def test_a_web_socket_carries_text_and_bytes(node: Node) -> None:
    await create(node, "one", OpenStdin=True)
    await post(node, "/containers/one/start")
    query = "stream=1&stdin=1&stdout=1"
    async with node.client.ws_connect(f"/containers/one/attach/ws?{query}") as socket:
        ((_, streams),) = node.runtime.attached
        await socket.send_str("text ")
        await socket.send_bytes(b"bytes")
        streams.output.put_nowait((1, b"out"))
        assert await socket.receive_bytes() == b"out"
        await until(lambda: b"".join(streams.written) == b"text bytes")
        streams.output.put_nowait(None)
        assert (await socket.receive()).data == 1000
    await until(lambda: streams.closed)


async def test_a_detached_exec_and_what_inspect_tells_of_it(node: Node) -> None:
    await create(node, "one")
    await post(node, "/containers/one/start")
    body = {
        "Cmd": ["sh", "-c", "x"],
        "Env": ["A=1"],
        "User": "u",
        "Tty": True,
        "AttachStdout": True,
    }
    status, made = await post(node, "/containers/one/exec", body)
    assert status == 201
    assert (await node.get(f"/exec/{made['Id']}/json"))["ExitCode"] is None
    size = {"Detach": True, "ConsoleSize": [10, 20]}
    assert (await post(node, f"/exec/{made['Id']}/start", size))[0] == 200
    (spawned,) = node.runtime.spawned
    assert spawned.process == FurtherProcess(
        argv=("sh", "-c", "x"),
        env=("A=1",),
        user="u",
        tty=True,
        console_size=(10, 20),
        detached=True,
    )
    assert (await post(node, f"/exec/{made['Id']}/start", {"Detach": True}))[0] == 409
    assert (await node.get("/containers/one/json"))["ExecIDs"] == [made["Id"]]
    spawned.end(4)
    await until(lambda: node.engine.execs.find(made["Id"]).state is ExecState.ENDED)
    shown = await node.get(f"/exec/{made['Id']}/json")
    assert (shown["Running"], shown["ExitCode"]) == (False, 4)
    assert shown["ProcessConfig"] == {
        "tty": True,
        "entrypoint": "sh",
        "arguments": ["-c", "x"],
        "privileged": False,
        "user": "u",
    }


async def test_an_exec_in_what_does_not_run_is_refused(node: Node) -> None:
    await create(node, "one")
    status, answer = await post(node, "/containers/one/exec", {"Cmd": ["x"]})
    assert (status, "is not running" in answer["message"]) == (409, True)
