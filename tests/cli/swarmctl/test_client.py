import io
from pathlib import Path

import pytest

from cli.swarmctl.client import (
    ApiError,
    CannotConnectError,
    Client,
    LostConnectionError,
    chosen_host,
)
from tests.support.unix_api import Answer, UnixApi

MEGABYTE = 1024 * 1024


@pytest.fixture
def client(api: UnixApi) -> Client:
    return Client(api.host, {})


HOSTS = {
    "the flag first": (
        "unix:///f",
        {"SWARM_HOST": "unix:///s", "DOCKER_HOST": "unix:///d"},
        "unix:///f",
    ),
    "then SWARM_HOST": (None, {"SWARM_HOST": "unix:///s", "DOCKER_HOST": "unix:///d"}, "unix:///s"),
    "then DOCKER_HOST": (None, {"SWARM_HOST": "", "DOCKER_HOST": "unix:///d"}, "unix:///d"),
    "then the default": (None, {}, "unix:///run/swarmd/swarmd.sock"),
}


@pytest.mark.parametrize(("flag", "environment", "expected"), HOSTS.values(), ids=HOSTS)
def test_chooses_the_host(flag: str | None, environment: dict[str, str], expected: str) -> None:
    assert chosen_host(flag, environment) == expected


def test_sends_and_reads_json(api: UnixApi, client: Client) -> None:
    api.answer("POST /services/create", Answer(status=201, body={"ID": "é"}))
    assert client.post("/services/create", {"Name": "web"}, a="b c") == {"ID": "é"}
    sent = api.sent("POST /services/create")
    assert (sent.json, sent.query) == ({"Name": "web"}, {"a": "b c"})


def test_an_empty_answer_is_nothing(api: UnixApi, client: Client) -> None:
    api.answer("DELETE /services/web", Answer(status=200))
    assert client.delete("/services/web") is None


def test_names_are_quoted(api: UnixApi, client: Client) -> None:
    api.answer("GET /services/a?b", {"ok": 1})
    assert client.get("/services/a?b") == {"ok": 1}


REFUSALS = {
    "Docker's body": (Answer(status=409, body={"message": "name taken"}), 409, "name taken"),
    "plain text": (Answer(status=500, body=b"boom\n"), 500, "boom"),
    "JSON of another kind": (Answer(status=500, body=[1]), 500, "[1]"),
    "no text": (Answer(status=503), 503, "503 Service Unavailable"),
}


@pytest.mark.parametrize(("answer", "status", "text"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_an_error_with_its_text(
    api: UnixApi, client: Client, answer: Answer, status: int, text: str
) -> None:
    api.answer("GET /x", answer)
    with pytest.raises(ApiError) as raised:
        client.get("/x")
    assert (raised.value.status, str(raised.value)) == (status, text)


LOST = {
    "closed without a word": (Answer(raw=b""), "broke off the connection"),
    "not HTTP": (Answer(raw=b"SSH-2.0-OpenSSH\r\n"), "broke off the connection"),
    "fewer bytes than said": (Answer(body=b"[1,", length=100), "in the middle of its answer"),
    "chunks without an end": (Answer(chunks=[b"[1,"], cut=True), "in the middle of its answer"),
    "not JSON": (Answer(body=b"<html>"), "is no swarmd: b'<html>'"),
}


@pytest.mark.parametrize(("answer", "text"), LOST.values(), ids=LOST)
def test_a_broken_answer_says_so(api: UnixApi, client: Client, answer: Answer, text: str) -> None:
    api.answer("GET /x", answer)
    with pytest.raises(LostConnectionError, match=text):
        client.get("/x")


def test_streams_come_in_pieces(api: UnixApi, client: Client) -> None:
    api.answer("GET /events", Answer(chunks=[b"one\n", b"two\n"]))
    assert b"".join(client.stream("/events")) == b"one\ntwo\n"


def test_a_stream_that_breaks_gives_what_came_before(api: UnixApi, client: Client) -> None:
    api.answer("GET /events", Answer(chunks=[b"one\n"], cut=True))
    stream = client.stream("/events")
    assert next(stream) == b"one\n"
    with pytest.raises(LostConnectionError):
        next(stream)


def test_uploads_whole_files(api: UnixApi, client: Client) -> None:
    api.answer("POST /images/load", Answer(body={"stream": "ok"}))
    body = b"x" * (3 * MEGABYTE + 1)
    assert b"ok" in b"".join(client.upload("/images/load", io.BytesIO(body), quiet="1"))
    assert api.sent("POST /images/load").body == body


def test_an_upload_refused_midway_says_why(api: UnixApi, client: Client) -> None:
    api.answer("POST /images/load", Answer(status=400, body={"message": "no tar"}, unread=True))
    with pytest.raises(ApiError, match="no tar"):
        list(client.upload("/images/load", io.BytesIO(b"x" * 20 * MEGABYTE)))


def test_an_upload_that_breaks_off_says_so(api: UnixApi, client: Client) -> None:
    api.answer("POST /images/load", Answer(raw=b"", unread=True))
    with pytest.raises(LostConnectionError, match="broke off"):
        list(client.upload("/images/load", io.BytesIO(b"x" * 20 * MEGABYTE)))


NOWHERE = {
    "no socket": ("unix:///nowhere/at.all", "No such file or directory. Is swarmd running?"),
    "no path": ("unix://", "invalid host"),
    "another scheme": ("ssh://host", "invalid host 'ssh://host': use unix:///path"),
    "no scheme": ("/run/x.sock", "invalid host"),
    "a port that is none": ("tcp://127.0.0.1:x", "invalid port 'x'"),
    "nobody there": ("tcp://127.0.0.1:1", "Connection refused. Is swarmd running?"),
}


@pytest.mark.parametrize(("host", "text"), NOWHERE.values(), ids=NOWHERE)
def test_says_where_it_cannot_connect(host: str, text: str) -> None:
    with pytest.raises(CannotConnectError, match=text):
        Client(host, {}).get("/x")


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    client = Client("tcp://127.0.0.1:1", {"DOCKER_CERT_PATH": str(tmp_path)})
    with pytest.raises(CannotConnectError, match="certificates"):
        client.get("/x")
