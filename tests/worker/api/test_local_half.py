"""The local half of the Engine API, as Docker's clients use it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from common.engine_api.streams import frame
from common.model.container_spec import Driver, HealthConfig, Mount, MountType
from tests.support.archives import docker_archive
from tests.support.local_node import LAYER, Node, local_node
from worker.api.render.durations import human_duration

DAY = 86_400.0


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with local_node(tmp_path) as made:
        yield made


# ------------------------------------------------------------------------------------- images


async def test_load_says_what_it_loaded_and_the_list_shows_it(node: Node) -> None:
    archive = docker_archive([LAYER], tags=["hello:1", "reg.example:5000/a/b:2"])

    status, text = await node.send("POST", "/v1.50/images/load", archive, quiet="1")

    assert status == 200
    assert [json.loads(line)["stream"] for line in text.splitlines()] == [
        "Loaded image: hello:1\n",
        "Loaded image: reg.example:5000/a/b:2\n",
    ]
    listed = await node.get("/images/json")
    assert [image["RepoTags"] for image in listed] == [["hello:1", "reg.example:5000/a/b:2"]]
    assert listed[0]["Size"] == len("hello")


async def test_import_takes_changes_in_either_form(node: Node) -> None:
    status, text = await node.send(
        "POST",
        "/images/create",
        LAYER,
        fromSrc="-",
        repo="site:2",
        changes='CMD ["httpd"]\nENV A=1',
        message="a site",
    )

    assert status == 200
    image = await node.get("/images/site:2/json")
    assert json.loads(text) == {"status": image["Id"]}
    assert image["Config"] == {"Cmd": ["httpd"], "Env": ["A=1"]}
    assert (await node.get("/images/site:2/history"))[0]["Comment"] == "a site"


REFUSED = {
    "a pull": (
        "POST",
        "/images/create",
        {"fromImage": "hello", "tag": "1"},
        501,
        "pulling is not available yet",
    ),
    "a URL": ("POST", "/images/create", {"fromSrc": "http://x/y.tar"}, 501, "not available"),
    "an archive that is none": ("POST", "/images/load", {}, 400, "invalid archive"),
    "a tar that is none": ("POST", "/images/create", {"fromSrc": "-"}, 400, "invalid archive"),
    "a change that is none": (
        "POST",
        "/images/create",
        {"fromSrc": "-", "changes": "RUN x"},
        400,
        "run is not a valid change command",
    ),
    "a name that is none": (
        "POST",
        "/images/create",
        {"fromSrc": "-", "repo": "UP"},
        400,
        "must be lowercase",
    ),
    "the tag of what is not here": (
        "POST",
        "/images/no/tag",
        {"repo": "x"},
        404,
        "No such image: no:latest",
    ),
    "the removal of what is not here": ("DELETE", "/images/no:1", {}, 404, "No such image: no:1"),
    "a filter that is none": (
        "GET",
        "/images/json",
        {"filters": '{"x":["1"]}'},
        400,
        "invalid filter 'x'",
    ),
    "a container that is not here": (
        "GET",
        "/containers/no/json",
        {},
        404,
        "No such container: no",
    ),
    "logs of what is not here": (
        "GET",
        "/containers/no/logs",
        {"stdout": "1"},
        404,
        "No such container: no",
    ),
    "a network that is not here": ("GET", "/networks/no", {}, 404, "network no not found"),
    "a volume that is not here": ("GET", "/volumes/no", {}, 404, "get no: no such volume"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refuses(node: Node, name: str) -> None:
    method, path, query, expected, words = REFUSED[name]

    status, text = await node.send(method, path, b"garbage" if method == "POST" else b"", **query)

    assert status == expected
    assert words in json.loads(text)["message"]


async def test_tags_with_slashes_come_and_go_and_a_container_keeps_the_last(node: Node) -> None:
    image_id = await node.load()
    container_id = await node.run()

    assert (await node.send("POST", "/images/hello:1/tag", repo="reg.example/a/b", tag="9"))[
        0
    ] == 201
    first = await node.send("DELETE", "/images/reg.example/a/b:9")
    second = await node.send("DELETE", "/images/hello:1")
    await node.engine.remove(container_id)
    third = await node.send("DELETE", "/images/hello:1", force="1")

    assert (first[0], json.loads(first[1])) == (200, [{"Untagged": "reg.example/a/b:9"}])
    assert second[0] == 409
    assert "is using its referenced image" in json.loads(second[1])["message"]
    assert json.loads(third[1]) == [{"Untagged": "hello:1"}, {"Deleted": image_id}]


FILTERS = {
    '{"reference":["hel*"]}': ["hello:1"],
    '{"reference":["*:2"]}': [],
    '{"reference":["team/*"]}': ["team/other:2"],
    '{"reference":["*"]}': ["hello:1"],
    '{"reference":["t?am/[a-o]*:2"]}': ["team/other:2"],
    '{"label":{"a=1":true}}': ["hello:1"],
    '{"label":["a"]}': ["hello:1", "team/other:2"],
    '{"dangling":["true"]}': [],
    '{"dangling":["false"]}': ["hello:1", "team/other:2"],
}


@pytest.mark.parametrize("text", FILTERS)
async def test_images_are_filtered_by(node: Node, text: str) -> None:
    await node.load("hello:1", Labels={"a": "1"})
    await node.load("team/other:2", Labels={"a": "2"})

    found = await node.get("/images/json", filters=text)

    assert sorted(tag for image in found for tag in image["RepoTags"]) == FILTERS[text]


# --------------------------------------------------------------------------------- containers


async def test_containers_are_listed_as_docker_ps_does(node: Node) -> None:
    await node.load(Labels={"from": "image"})
    check = HealthConfig(test=("CMD", "x"))
    running = await node.run("web.1.t1", task_id="t1", spec={"healthcheck": check})
    ended = await node.run("old", labels={"a": "1"})
    await node.runtime.end(ended, 3)
    await node.clock.advance(90)

    shown = await node.get("/containers/json")
    every = await node.get("/containers/json", all="1")

    assert [item["Id"] for item in shown] == [running]
    assert shown[0]["Names"] == ["/web.1.t1"]
    assert shown[0]["Labels"] == {"from": "image"}
    assert shown[0]["Status"] == "Up About a minute (healthy)"
    assert {item["Status"] for item in every} == {
        "Up About a minute (healthy)",
        "Exited (3) About a minute ago",
    }
    for query, expected in {
        '{"name":["web"]}': [running],
        '{"name":["^web\\\\.1.t1$"]}': [running],
        '{"name":["^/web"]}': [running],
        '{"name":["^eb"]}': [],
        '{"publish":["80"]}': [],
        '{"expose":["80-90/tcp"]}': [],
        '{"status":["exited"]}': [ended],
        '{"exited":["3"]}': [ended],
        '{"label":["a=1"]}': [],
        '{"health":["healthy"]}': [running],
        '{"ancestor":["hello:1"]}': [running],
        '{"ancestor":["none"]}': [],
        '{"is-task":["true"]}': [running],
        json.dumps({"id": [running]}): [running],
    }.items():
        found = await node.get("/containers/json", filters=query)
        assert [item["Id"] for item in found] == expected, query
    assert len(await node.get("/containers/json", limit="1")) == 1


async def test_inspect_shows_what_docker_inspect_reads(node: Node) -> None:
    await node.load()
    mount = Mount(type=MountType.VOLUME, source="store", target="/data", read_only=True)
    container_id = await node.run(spec={"mounts": (mount,), "env": ("A=1",)})
    await node.runtime.end(container_id, 137, oom_killed=True)
    await node.clock.advance(1)

    found = await node.get("/containers/web.1.t1/json")

    assert (found["Id"], found["Name"]) == (container_id, "/web.1.t1")
    assert (found["Path"], found["Args"]) == ("serve", [])
    assert (found["State"]["Status"], found["State"]["ExitCode"]) == ("exited", 137)
    assert found["State"]["OOMKilled"] is True
    assert "A=1" in found["Config"]["Env"]
    assert found["Mounts"][0]["Name"] == "store"
    assert found["Mounts"][0]["RW"] is False
    assert found["LogPath"].endswith("-json.log")


async def test_logs_are_multiplexed_with_times_where_asked(node: Node) -> None:
    await node.load()
    container_id = await node.run()
    lines = [
        {"log": "out\n", "stream": "stdout", "time": "2026-01-02T03:04:05.5Z"},
        {"log": "err\n", "stream": "stderr", "time": "2026-01-02T03:04:06Z"},
    ]
    path = node.root / "containers" / container_id / f"{container_id}-json.log"
    path.write_text("".join(json.dumps(item) + "\n" for item in lines))

    async with node.client.get(
        "/containers/web.1.t1/logs", params={"stdout": "1", "stderr": "1", "tail": "all"}
    ) as answer:
        assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
        assert await answer.read() == frame(1, b"out\n") + frame(2, b"err\n")
    async with node.client.get(
        "/containers/web.1.t1/logs", params={"stderr": "1", "timestamps": "1", "tail": "1"}
    ) as answer:
        assert await answer.read() == frame(2, b"2026-01-02T03:04:06.000000000Z err\n")


async def test_a_container_whose_output_is_thrown_away_has_no_logs(node: Node) -> None:
    await node.load()
    await node.run(log_driver=Driver(name="none"))

    status, text = await node.send("GET", "/containers/web.1.t1/logs", stdout="1")

    assert status == 501
    assert "does not support reading" in text


# ------------------------------------------------------------------------ networks and volumes


async def test_the_three_networks_of_a_node(node: Node) -> None:
    await node.load()
    container_id = await node.run()

    listed = await node.get("/networks")
    bridge = await node.get("/networks/bridge")

    assert [network["Name"] for network in listed] == ["bridge", "host", "none"]
    assert bridge["IPAM"]["Config"] == [{"Subnet": "10.88.0.0/16", "Gateway": "10.88.0.1"}]
    assert bridge["Containers"][container_id]["IPv4Address"] == "10.0.0.2/16"
    assert (await node.get(f"/networks/{bridge['Id'][:12]}"))["Name"] == "bridge"
    assert await node.get("/networks", filters='{"driver":["overlay"]}') == []


async def test_volumes_are_listed_and_inspected(node: Node) -> None:
    await node.load(Volumes={"/cache": {}})
    mount = Mount(type=MountType.VOLUME, source="store", target="/data")
    container_id = await node.run(spec={"mounts": (mount,)})

    listed = await node.get("/volumes")
    in_use = await node.get("/volumes", filters='{"dangling":["false"]}')
    await node.engine.remove(container_id)
    after = await node.get("/volumes", filters='{"dangling":["true"]}')

    assert len(listed["Volumes"]) == len(in_use["Volumes"]) == 2
    assert [volume["Name"] for volume in after["Volumes"]] == ["store"]
    assert (await node.get("/volumes/store"))["Driver"] == "local"


async def test_what_happens_to_images_is_told(node: Node) -> None:
    await node.load()
    await node.send("POST", "/images/hello:1/tag", repo="alias")
    await node.send("DELETE", "/images/alias")
    await node.send("DELETE", "/images/hello:1")

    told = [event.action for event in node.events.past(0, 10**12) if event.type == "image"]
    assert told == ["load", "tag", "untag", "untag", "delete"]


DURATIONS = {
    0.5: "Less than a second",
    1.0: "1 second",
    59.0: "59 seconds",
    60.0: "About a minute",
    3_000.0: "50 minutes",
    3_600.0: "About an hour",
    2 * DAY: "2 days",
    1.5 * DAY: "36 hours",
    20 * DAY: "2 weeks",
    90 * DAY: "3 months",
    800 * DAY: "2 years",
}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_durations_are_in_dockers_words(seconds: float) -> None:
    assert human_duration(seconds) == DURATIONS[seconds]
