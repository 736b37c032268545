"""Secrets and configs through the API."""

import base64
import io
import json
from typing import Any

import pytest

from tests.support.api_swarm import ApiSwarm

NOUNS = ("secret", "config")
DATA = b"very-s3cret"
ENCODED = base64.b64encode(DATA).decode()


def body(name: str = "key", data: bytes = DATA, **more: Any) -> dict[str, Any]:
    return {"Name": name, "Data": base64.b64encode(data).decode(), **more}


async def send(swarm: ApiSwarm, noun: str, spec: Any) -> tuple[int, Any]:
    data = json.dumps(spec).encode()
    headers = {"Content-Type": "application/json"}
    return await swarm.call("POST", f"/{noun}s/create", data=io.BytesIO(data), headers=headers)


async def created(swarm: ApiSwarm, noun: str, **fields: Any) -> str:
    status, answer = await send(swarm, noun, body(**fields))
    assert status == 201, answer
    assert list(answer) == ["ID"]
    item_id: str = answer["ID"]
    return item_id


@pytest.mark.parametrize("noun", NOUNS)
async def test_shows_what_was_created(swarm: ApiSwarm, noun: str) -> None:
    item_id = await created(swarm, noun, Labels={"a": "b"}, Templating={"Name": "golang"})
    shown = await swarm.get(f"/{noun}s/key")
    assert set(shown) == {"ID", "Version", "CreatedAt", "UpdatedAt", "Spec"}
    assert shown["ID"] == item_id
    expected = {"Name": "key", "Labels": {"a": "b"}, "Templating": {"Name": "golang"}}
    assert shown["Spec"] == expected | ({"Data": ENCODED} if noun == "config" else {})
    assert await swarm.get(f"/{noun}s") == [shown]
    assert await swarm.get(f"/{noun}s/{item_id[:5]}") == shown


async def test_the_data_of_a_secret_is_in_no_answer(swarm: ApiSwarm) -> None:
    secret_id = await created(swarm, "secret")
    await swarm.create(
        TaskTemplate={"ContainerSpec": using("secret", reference("secret", secret_id))}
    )
    paths = ("/secrets", "/secrets/key", "/services", "/tasks", "/info", "/events?until=1e12")
    answers = [str(await swarm.call("GET", path)) for path in paths]
    status, refused = await swarm.call(
        "POST", f"/secrets/{secret_id}/update", params={"version": "1"}, json=body(data=b"guess")
    )
    assert (status, refused) == (400, "only updates to Labels are allowed")
    assert [text for text in answers if ENCODED in text or DATA.decode() in text] == []


FILTERS: dict[str, tuple[dict[str, list[str]], list[str]]] = {
    "nothing": ({}, ["key", "key2"]),
    "a beginning of names": ({"name": ["ke"]}, ["key", "key2"]),
    "a whole name": ({"names": ["key"]}, ["key"]),
    "a label": ({"label": ["a=b"]}, ["key2"]),
    "an id": ({"id": ["none"]}, []),
}


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize(("filters", "expected"), FILTERS.values(), ids=FILTERS)
async def test_lists_what_the_filters_let_through(
    swarm: ApiSwarm, noun: str, filters: dict[str, list[str]], expected: list[str]
) -> None:
    await created(swarm, noun)
    await created(swarm, noun, name="key2", Labels={"a": "b"})
    listed = await swarm.get(f"/{noun}s", filters=json.dumps(filters))
    assert [item["Spec"]["Name"] for item in listed] == expected


INVALID_NAME = (
    "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, "
    "and the start and end character must be [a-zA-Z0-9]"
)
SIZE = "{} data must be larger than 0 and less than {} bytes"
LIMITS = {"secret": 512_000, "config": 1_024_000}
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "no name": (body(""), 400, "name must be provided"),
    "a name that begins with a dash": (body("-x"), 400, INVALID_NAME),
    "a name that ends with a dot": (body("x."), 400, INVALID_NAME),
    "a name with a newline": (body("x\n"), 400, INVALID_NAME),
    "a name with a slash": (body("a/b"), 400, INVALID_NAME),
    "a long name": (body("a" * 65), 400, INVALID_NAME),
    "a taken name": (
        body("TAKEN"),
        409,
        "rpc error: code = AlreadyExists desc = {noun} TAKEN already exists",
    ),
    "no data": (body(data=b""), 400, SIZE),
    "data that is no base64": (
        {"Name": "x", "Data": "?"},
        400,
        "invalid value for {kind}.Data: not base64",
    ),
    "an unknown template driver": (
        body(Templating={"Name": "jinja"}),
        400,
        "unknown template driver: jinja (known: golang)",
    ),
    "a label of ours that there is not": (
        body(Labels={"swarmd.x": ""}),
        400,
        "unknown label swarmd.x (",
    ),
}


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize(("given", "status", "message"), REFUSED.values(), ids=REFUSED)
async def test_refuses(
    swarm: ApiSwarm, noun: str, given: dict[str, Any], status: int, message: str
) -> None:
    await created(swarm, noun, name="taken")
    filled = SIZE.format(noun, LIMITS[noun]) if message is SIZE else message
    words = filled.replace("{noun}", noun).replace("{kind}", f"{noun.title()}Spec")
    found, answer = await swarm.call("POST", f"/{noun}s/create", json=given)
    assert (found, answer[: len(words)]) == (status, words)


@pytest.mark.parametrize("noun", NOUNS)
async def test_takes_as_much_as_docker_and_no_more(swarm: ApiSwarm, noun: str) -> None:
    limit = LIMITS[noun]
    await created(swarm, noun, name="least", data=b"x")
    await created(swarm, noun, name="most", data=bytes(limit - 1))
    assert await send(swarm, noun, body("x", bytes(limit))) == (400, SIZE.format(noun, limit))


async def test_refuses_secrets_of_a_driver(swarm: ApiSwarm) -> None:
    given = {"Name": "x", "Driver": {"Name": "vault"}}
    answer = await swarm.call("POST", "/secrets/create", json=given)
    assert answer == (501, "secret driver vault: not implemented")


@pytest.mark.parametrize("noun", NOUNS)
async def test_changes_labels(swarm: ApiSwarm, noun: str) -> None:
    item_id = await created(swarm, noun)
    shown = await swarm.get(f"/{noun}s/key")
    spec = {**shown["Spec"], "Labels": {"new": "1"}}
    query = {"version": str(shown["Version"]["Index"])}
    path = f"/{noun}s/{item_id}/update"
    assert (await swarm.call("POST", path, params=query, json=spec))[0] == 200
    assert (await swarm.get(f"/{noun}s/key"))["Spec"]["Labels"] == {"new": "1"}
    stale = await swarm.call("POST", path, params=query, json=spec)
    assert stale == (500, "rpc error: code = Unknown desc = update out of sequence")


@pytest.mark.parametrize("noun", NOUNS)
async def test_changes_nothing_but_labels(swarm: ApiSwarm, noun: str) -> None:
    item_id = await created(swarm, noun)
    for other in (body("other"), body(data=b"other"), body(Templating={"Name": "golang"})):
        answer = await swarm.call(
            "POST", f"/{noun}s/{item_id}/update", params={"version": "0"}, json=other
        )
        assert answer == (400, "only updates to Labels are allowed")


@pytest.mark.parametrize("noun", NOUNS)
async def test_removes(swarm: ApiSwarm, noun: str) -> None:
    await created(swarm, noun)
    assert (await swarm.call("DELETE", f"/{noun}s/key"))[0] == 204
    assert await swarm.call("DELETE", f"/{noun}s/key") == (404, f"{noun} key not found")
    assert await swarm.call("GET", f"/{noun}s/key") == (404, f"{noun} key not found")


# ------------------------------------------------------------------------------------- references


def reference(noun: str, item_id: str, name: str = "key", **file: Any) -> dict[str, Any]:
    kind = noun.title()
    target = {"Name": name, "UID": "0", "GID": "0", "Mode": 0o444, **file}
    return {f"{kind}ID": item_id, f"{kind}Name": name, "File": target}


def using(noun: str, *references: dict[str, Any]) -> dict[str, Any]:
    return {"Image": "hello:1", f"{noun.title()}s": list(references)}


@pytest.mark.parametrize("noun", NOUNS)
async def test_what_a_service_names_stays_until_it_is_gone(swarm: ApiSwarm, noun: str) -> None:
    item_id = await created(swarm, noun)
    await swarm.create(TaskTemplate={"ContainerSpec": using(noun, reference(noun, item_id))})
    message = f"{noun} 'key' is in use by the following service: web"
    assert await swarm.call("DELETE", f"/{noun}s/key") == (400, message)
    await swarm.call("DELETE", "/services/web")
    assert (await swarm.call("DELETE", f"/{noun}s/key"))[0] == 204


@pytest.mark.parametrize("noun", NOUNS)
async def test_a_service_names_what_is_there(swarm: ApiSwarm, noun: str) -> None:
    item_id = await created(swarm, noun)
    for wrong in (reference(noun, "none"), reference(noun, item_id, "other")):
        name = wrong[f"{noun.title()}Name"]
        answer = await _create(swarm, using(noun, wrong))
        assert answer == (400, f"{noun} not found: {name}")
    both = using(noun, reference(noun, "x", "a"), reference(noun, "y", "b"))
    assert await _create(swarm, both) == (400, f"{noun}s not found: a, b")


def file(noun: str, **fields: Any) -> dict[str, Any]:
    return reference(noun, "id", **fields)


MALFORMED: dict[str, tuple[Any, str]] = {
    "no id": (lambda noun: reference(noun, ""), "malformed {} reference"),
    "no target": (
        lambda noun: {**reference(noun, "id"), "File": None},
        "malformed {} reference, no target provided",
    ),
    "no name of a file": (
        lambda noun: file(noun, Name=""),
        "malformed file {} reference, invalid target file name provided",
    ),
    "a directory": (
        lambda noun: file(noun, Name="a/"),
        "malformed file {} reference: the target 'a/' is no file's name",
    ),
    "a way out": (
        lambda noun: file(noun, Name="../../etc/shadow"),
        "malformed file {} reference: the target '../../etc/shadow' must not contain '..'",
    ),
    "a null byte": (
        lambda noun: file(noun, Name="a\0b"),
        "malformed file {} reference: the target 'a\\x00b' is no file's name",
    ),
    "an owner by name": (
        lambda noun: file(noun, UID="www-data"),
        "{} 'key': invalid UID 'www-data': it is a number",
    ),
    "no owner": (lambda noun: file(noun, GID=""), "{} 'key': invalid GID '': it is a number"),
    "a mode that is none": (lambda noun: file(noun, Mode=-1), "{} 'key': invalid mode -1"),
}


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize(("make", "message"), MALFORMED.values(), ids=MALFORMED)
async def test_refuses_a_reference(swarm: ApiSwarm, noun: str, make: Any, message: str) -> None:
    answer = await _create(swarm, using(noun, make(noun)))
    assert answer == (400, message.format(noun))


async def test_refuses_two_on_one_target(swarm: ApiSwarm) -> None:
    same = using("secret", reference("secret", "1", "a"), reference("secret", "2", "b", Name="a"))
    assert await _create(swarm, same) == (
        400,
        "secret references 'a' and 'b' have a conflicting target: 'a'",
    )
    across = {
        **using("secret", reference("secret", "1", "a")),
        "Configs": [reference("config", "2", "b", Name="//run/./secrets/a")],
    }
    assert await _create(swarm, across) == (
        400,
        "references 'a' and 'b' have a conflicting target: '//run/./secrets/a'",
    )


async def test_refuses_the_target_of_a_mount(swarm: ApiSwarm) -> None:
    container = {
        **using("config", reference("config", "1", "a", Name="/etc/a")),
        "Mounts": [{"Type": "tmpfs", "Target": "/etc/a"}],
    }
    assert await _create(swarm, container) == (
        400,
        "ContainerSpec: duplicate mount point: /etc/a",
    )


async def _create(swarm: ApiSwarm, container: dict[str, Any]) -> tuple[int, Any]:
    spec = {"Name": "web", "TaskTemplate": {"ContainerSpec": container}}
    return await swarm.call("POST", "/services/create", json=spec)


async def test_refuses_more_bytes_than_a_container_can_have(swarm: ApiSwarm) -> None:
    names = [f"c{number}" for number in range(5)]
    ids = [await created(swarm, "config", name=name, data=bytes(1_000_000)) for name in names]
    references = [
        reference("config", item_id, name, Name=name)
        for item_id, name in zip(ids, names, strict=True)
    ]
    assert await _create(swarm, using("config", *references)) == (
        400,
        "ContainerSpec: secrets and configs of 5000000 bytes, more than 4194304",
    )


async def test_an_update_and_a_rollback_name_what_is_there(swarm: ApiSwarm) -> None:
    item_id = await created(swarm, "secret")
    await swarm.create(
        TaskTemplate={"ContainerSpec": using("secret", reference("secret", item_id))}
    )
    shown = await swarm.get("/services/web")
    plain = {**shown["Spec"], "TaskTemplate": {"ContainerSpec": {"Image": "hello:1"}}}
    assert (await _update(swarm, plain))[0] == 200
    await swarm.call("DELETE", "/secrets/key")
    gone = (400, "secret not found: key")
    assert await _update(swarm, shown["Spec"]) == gone
    assert await _update(swarm, plain, rollback="previous") == gone


async def _update(swarm: ApiSwarm, spec: Any, **query: str) -> tuple[int, Any]:
    version = str(swarm.service().version)
    return await swarm.call(
        "POST", "/services/web/update", params={"version": version, **query}, json=spec
    )
