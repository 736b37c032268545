"""Every command on an API with chosen answers: what is sent, what is shown, how it ends."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from common.saved_cluster import SavedHead, pack_saved
from tests.cli.swarmctl.conftest import Run
from tests.support.unix_api import Answer, UnixApi

SERVICE: dict[str, Any] = {
    "ID": "s1s1s1s1s1s1s1s1",
    "Version": {"Index": 7},
    "Spec": {
        "Name": "web",
        "Mode": {"Replicated": {"Replicas": 2}},
        "TaskTemplate": {"ContainerSpec": {"Image": "hello:1@sha256:1"}},
    },
    "Endpoint": {"Ports": [{"PublishedPort": 8080, "TargetPort": 80}]},
    "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 2},
}
NODE: dict[str, Any] = {
    "ID": "n1n1n1n1n1n1n1n1",
    "CreatedAt": "2026-01-01T00:00:00Z",
    "Spec": {"Availability": "active", "Role": "manager", "Labels": {"rack": "1"}},
    "Description": {"Hostname": "host1", "Engine": {"EngineVersion": "0.1.0"}},
    "Status": {"State": "ready", "Addr": "10.0.0.1"},
    "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "10.0.0.1:2377"},
}
INFO = {"Swarm": {"NodeID": NODE["ID"], "LocalNodeState": "active", "ControlAvailable": True}}
GONE = Answer(status=404, body={"message": "service nope not found"})


def task(number: int, slot: int, state: str = "running", error: str = "") -> dict[str, Any]:
    return {
        "ID": f"t{number}" * 8,
        "ServiceID": SERVICE["ID"],
        "NodeID": NODE["ID"],
        "Slot": slot,
        "CreatedAt": f"2026-01-01T00:00:0{number}Z",
        "DesiredState": "running" if state == "running" else "shutdown",
        "Spec": {"ContainerSpec": {"Image": "hello:1"}},
        "Status": {"State": state, "Timestamp": "2020-01-01T00:00:00Z", "Err": error},
    }


@pytest.fixture(autouse=True)
def swarm(api: UnixApi) -> UnixApi:
    """A swarm with one node and one service."""
    api.answer("GET /info", INFO)
    api.answer("GET /nodes", [NODE])
    api.answer(f"GET /nodes/{NODE['ID']}", NODE)
    api.answer("GET /services", [SERVICE])
    for name in ("web", SERVICE["ID"]):
        api.answer(f"GET /services/{name}", SERVICE)
    api.answer("GET /services/nope", GONE)
    api.answer("GET /tasks", [task(1, 1, "rejected", "No such image: x"), task(2, 1), task(3, 2)])
    return api


# ------------------------------------------------------------------------------------ services


def test_service_create_sends_the_spec(api: UnixApi, run: Run) -> None:
    api.answer(
        "POST /services/create", Answer(status=201, body={"ID": "new", "Warnings": ["careful"]})
    )
    code, out, err = run(
        "service", "create", "-d", "--name", "web", "--replicas=2", "-p", "8080:80", "--read-only=false",
        "--with-registry-auth", "--no-resolve-image", "hello:1", "sh", "-c", "--detach=false",
    )  # fmt: skip
    assert (code, out, err) == (0, "new\n", "WARNING: careful\n")
    spec = api.sent("POST /services/create").json
    assert spec["Mode"] == {"Replicated": {"Replicas": 2}}
    container = spec["TaskTemplate"]["ContainerSpec"]
    assert container == {
        "Image": "hello:1", "Args": ["sh", "-c", "--detach=false"], "ReadOnly": False,
    }  # fmt: skip
    assert spec["EndpointSpec"]["Ports"][0]["PublishedPort"] == 8080


def test_service_create_waits(api: UnixApi, run: Run) -> None:
    done = SERVICE | {"UpdateStatus": {"State": "completed", "Message": "m"}}
    api.answer("POST /services/create", Answer(status=201, body={"ID": SERVICE["ID"]}))
    api.answer(f"GET /services/{SERVICE['ID']}", done)
    code, out, _ = run("service", "create", "hello:1")
    assert code == 0
    assert out.splitlines()[-1] == f"verify: Service {SERVICE['ID']} converged"


NAMED: dict[str, tuple[list[str], str, dict[str, Any]]] = {
    "a secret by its name": (
        ["--secret", "key"],
        "Secrets",
        {
            "SecretID": "k1",
            "SecretName": "key",
            "File": {"Name": "key", "UID": "0", "GID": "0", "Mode": 0o444},
        },
    ),
    "a config in full": (
        ["--config", "src=conf,target=/etc/x,uid=1,gid=2,mode=0400"],
        "Configs",
        {
            "ConfigID": "c1",
            "ConfigName": "conf",
            "File": {"Name": "/etc/x", "UID": "1", "GID": "2", "Mode": 0o400},
        },
    ),
}
SECRET: dict[str, Any] = {
    "ID": "k1",
    "CreatedAt": "2026-01-01T00:00:00Z",
    "UpdatedAt": "2026-01-02T00:00:00Z",
    "Spec": {"Name": "key", "Labels": {"b": "2", "a": ""}},
}
CONFIG: dict[str, Any] = SECRET | {
    "ID": "c1",
    "Spec": {"Name": "conf", "Data": "aGk=", "Labels": {}},
}


@pytest.mark.parametrize(("flags", "where", "expected"), NAMED.values(), ids=NAMED)
def test_services_name_secrets_and_configs(
    api: UnixApi, run: Run, flags: list[str], where: str, expected: dict[str, Any]
) -> None:
    api.answer("GET /secrets", [SECRET])
    api.answer("GET /configs", [CONFIG])
    api.answer("POST /services/create", Answer(status=201, body={"ID": "new"}))
    assert run("service", "create", "-d", *flags, "hello:1")[0] == 0
    sent = api.sent("POST /services/create").json
    assert sent["TaskTemplate"]["ContainerSpec"][where] == [expected]


def test_a_secret_that_there_is_not_is_named(api: UnixApi, run: Run) -> None:
    api.answer("GET /secrets", [SECRET])
    code, _, err = run("service", "create", "-d", "--secret", "nope", "hello:1")
    assert (code, err) == (1, "Error: secret not found: nope\n")
    assert json.loads(api.sent("GET /secrets").query["filters"]) == {"names": {"nope": True}}


PAYLOADS = {"secret": SECRET, "config": CONFIG}


@pytest.mark.parametrize("noun", PAYLOADS)
def test_creates_a_secret_or_config(
    api: UnixApi, run: Run, noun: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.answer(f"POST /{noun}s/create", Answer(status=201, body={"ID": "new"}))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x00hi")))
    assert run(noun, "create", "-l", "a=b", "--template-driver", "golang", "x", "-")[:2] == (
        0,
        "new\n",
    )
    assert api.sent(f"POST /{noun}s/create").json == {
        "Name": "x", "Labels": {"a": "b"}, "Data": "AGhp", "Templating": {"Name": "golang"},
    }  # fmt: skip
    (tmp_path / "file").write_bytes(b"hi")
    run(noun, "create", "y", str(tmp_path / "file"))
    assert api.sent(f"POST /{noun}s/create").json == {"Name": "y", "Labels": {}, "Data": "aGk="}
    code, _, err = run(noun, "create", "y", "/nowhere")
    assert (code, "No such file" in err) == (1, True)


@pytest.mark.parametrize("noun", PAYLOADS)
def test_lists_shows_and_removes_secrets_and_configs(api: UnixApi, run: Run, noun: str) -> None:
    item = PAYLOADS[noun]
    api.answer(f"GET /{noun}s", [item])
    api.answer(f"GET /{noun}s/x", item)
    api.answer(f"DELETE /{noun}s/x", Answer(status=204))
    head, row = run(noun, "ls")[1].splitlines()
    drivers = ["DRIVER"] if noun == "secret" else []
    assert head.split() == ["ID", "NAME", *drivers, "CREATED", "UPDATED"]
    assert row.split()[:2] == [item["ID"], item["Spec"]["Name"]]
    assert run(noun, "ls", "-q")[1] == f"{item['ID']}\n"
    assert json.loads(run(noun, "inspect", "x")[1]) == [item]
    pretty = run(noun, "inspect", "--pretty", "x")[1].splitlines()
    assert pretty[:2] == [f"ID:\t\t\t{item['ID']}", f"Name:\t\t\t{item['Spec']['Name']}"]
    assert (pretty[-1] == "hi") is (noun == "config")
    assert run(noun, "rm", "x")[:2] == (0, "x\n")


def test_a_secret_may_be_a_drivers(api: UnixApi, run: Run) -> None:
    api.answer("POST /secrets/create", Answer(status=201, body={"ID": "new"}))
    run("secret", "create", "-d", "vault", "x")
    assert api.sent("POST /secrets/create").json["Driver"] == {"Name": "vault"}
    assert run("secret", "create", "-d", "vault", "x", "-")[0] == 2


def test_environment_comes_from_flags_files_and_the_process(
    api: UnixApi, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "here")
    (tmp_path / "env").write_text("# a remark\nA=1\n\nMINE\n")
    api.answer("POST /services/create", Answer(status=201, body={"ID": "new"}))
    run("service", "create", "-d", "--env-file", str(tmp_path / "env"), "-e", "B=2", "hello:1")
    sent = api.sent("POST /services/create").json
    assert sent["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=1", "MINE=here", "B=2"]


WRONG = {
    "no image": (["service", "create"], "Missing argument 'IMAGE'"),
    "an unknown flag": (["service", "create", "--replica", "1", "x"], "--replicas"),
    "a size": (["service", "create", "--limit-memory", "x", "x"], "--limit-memory: invalid size 'x'"),
    "a number": (["service", "create", "--limit-pids", "x", "x"], "--limit-pids: invalid number 'x'"),
    "a ratio": (["service", "create", "--update-max-failure-ratio", "2", "x"], "use a number from 0 to 1"),
    "a port": (["service", "create", "-p", "0:80", "x"], "--publish: invalid port number '0'"),
    "a mount": (["service", "create", "--mount", "type=tmpfs", "x"], "target is required"),
    "replicas of a global service": (["service", "create", "--mode=global", "--replicas=1", "x"], "replicated"),
    "a secret's field": (["service", "create", "--secret", "source=s,x=1", "x"], "unknown field 'x'"),
    "a secret's mode in decimal": (["service", "create", "--secret", "source=s,mode=440", "x"], "as 0400"),
    "a config of nothing": (["service", "create", "--config", "target=/x", "x"], "source is required"),
    "a secret from no file": (["secret", "create", "s"], "the secret's data comes from one file"),
    "a config's label": (["config", "create", "-l", "=", "c", "-"], "use key=value"),
    "networks": (["service", "update", "--network-add", "n", "web"], "networks of one's own are not available yet"),
    "a scale without a number": (["service", "scale", "web"], "invalid scale specifier 'web'"),
    "a scale below nothing": (["service", "scale", "web=-1"], "invalid scale specifier 'web=-1'"),
    "a rollback with other flags": (["service", "update", "--rollback", "--image", "x", "web"], "--rollback"),
    "a filter without a value": (["service", "ls", "-f", "name"], "use key=value"),
    "a template": (["service", "ls", "--format", "{{.Nope}}"], "can't evaluate field Nope"),
    "a time": (["events", "--since", "soon"], "invalid time 'soon'"),
    "a heartbeat": (["swarm", "init", "--dispatcher-heartbeat", "x"], "--dispatcher-heartbeat"),
    "external certificate authorities": (["swarm", "init", "--external-ca", "x"], "not available yet"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "text"), WRONG.values(), ids=WRONG)
def test_a_wrong_command_line_exits_2_and_sends_nothing(
    api: UnixApi, run: Run, words: list[str], text: str
) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert text in err
    assert all(request.method == "GET" for request in api.requests)


def test_service_update_sends_the_changed_spec_at_its_version(api: UnixApi, run: Run) -> None:
    api.answer(f"POST /services/{SERVICE['ID']}/update", {"Warnings": None})
    code, out, _ = run("service", "update", "-d", "--image", "hello:2", "--env-add", "A=1", "web")
    assert (code, out) == (0, "web\n")
    sent = api.sent(f"POST /services/{SERVICE['ID']}/update")
    assert sent.query["version"] == "7"
    assert sent.json["TaskTemplate"]["ContainerSpec"] == {"Image": "hello:2", "Env": ["A=1"]}


def test_service_rollback_asks_for_the_former_spec(api: UnixApi, run: Run) -> None:
    code, _, err = run("service", "rollback", "web")
    assert (code, err) == (1, "Error: service web has no former spec to return to\n")
    api.answer("GET /services/web", SERVICE | {"PreviousSpec": SERVICE["Spec"]})
    api.answer(f"POST /services/{SERVICE['ID']}/update", {})
    assert run("service", "rollback", "-d", "web") == (0, "web\n", "")
    assert api.sent(f"POST /services/{SERVICE['ID']}/update").query["rollback"] == "previous"
    assert run("service", "update", "-d", "--rollback", "web")[0] == 0


def test_service_scale_does_what_it_can(api: UnixApi, run: Run) -> None:
    api.answer(f"POST /services/{SERVICE['ID']}/update", {})
    code, out, err = run("service", "scale", "-d", "nope=1", "web=5")
    assert (code, out) == (1, "web scaled to 5\n")
    assert err == "nope: Error response from daemon: service nope not found\n"
    sent = api.sent(f"POST /services/{SERVICE['ID']}/update")
    assert sent.json["Mode"] == {"Replicated": {"Replicas": 5}}


def test_a_global_service_is_not_scaled(api: UnixApi, run: Run) -> None:
    api.answer("GET /services/web", SERVICE | {"Spec": SERVICE["Spec"] | {"Mode": {"Global": {}}}})
    code, _, err = run("service", "scale", "web=5")
    assert (code, err) == (1, "Error: web: scale can only be used with replicated mode\n")


def test_service_ls(api: UnixApi, run: Run) -> None:
    assert run("service", "ls") == (
        0,
        (
            "ID             NAME      MODE         REPLICAS   IMAGE     PORTS\n"
            "s1s1s1s1s1s1   web       replicated   1/2        hello:1   *:8080->80/tcp\n"
        ),
        "",
    )
    assert run("service", "ls", "-q", "-f", "name=web") == (0, "s1s1s1s1s1s1\n", "")
    assert json.loads(api.sent("GET /services").query["filters"]) == {"name": {"web": True}}


def test_service_ps_shows_the_newest_of_a_slot_first(api: UnixApi, run: Run) -> None:
    code, out, err = run("service", "ps", "web", "nope")
    assert (code, err) == (1, "Error response from daemon: service nope not found\n")
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines[1:]] == ["t2t2t2t2t2t2", "t1t1t1t1t1t1", "t3t3t3t3t3t3"]
    assert out.splitlines()[2].split(maxsplit=1)[1].startswith("\\_ web.1   hello:1   host1")
    assert '"No such image: x"' in out
    assert run("service", "ps", "--format", "{{.Name}}", "web")[1] == "web.1\nweb.1\nweb.2\n"
    assert (
        run("service", "ps", "--no-resolve", "--format", "{{.Node}}", "web")[1].split()[0]
        == NODE["ID"]
    )


def test_service_inspect(api: UnixApi, run: Run) -> None:
    code, out, _ = run("service", "inspect", "web")
    assert (code, json.loads(out)) == (0, [SERVICE])
    assert run("service", "inspect", "-f", "{{.Version.Index}}", "web")[1] == "7\n"
    code, out, err = run("service", "inspect", "nope")
    assert (code, out, err) == (1, "[]\n", "Error response from daemon: service nope not found\n")
    assert (
        "Service Mode:\tReplicated\n Replicas:\t2"
        in run("service", "inspect", "--pretty", "web")[1]
    )


def test_service_rm(api: UnixApi, run: Run) -> None:
    api.answer("DELETE /services/web", Answer())
    api.answer("DELETE /services/nope", GONE)
    code, out, err = run("service", "rm", "nope", "web")
    assert (code, out) == (1, "web\n")
    assert err == "Error response from daemon: service nope not found\n"


def frame(channel: int, text: bytes) -> bytes:
    return bytes([channel, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


def details(number: int, *more: str) -> bytes:
    words = {"service": SERVICE["ID"], "node": NODE["ID"], "task": f"t{number}" * 8}
    pairs = [f"com.docker.swarm.{key}.id={value}" for key, value in words.items()]
    return ",".join([*pairs, *more]).encode()


def test_service_logs_names_its_tasks(api: UnixApi, run: Run) -> None:
    big = SERVICE["Spec"] | {"Mode": {"Replicated": {"Replicas": 10}}}
    api.answer("GET /services/web", SERVICE | {"Spec": big})
    for number, slot in ((1, 1), (2, 10)):
        api.answer(f"GET /tasks/{f't{number}' * 8}", task(number, slot))
    lines = [
        frame(1, details(1) + b" out\n"),
        frame(2, details(2, "tag=x") + b" err\n"),
        frame(1, details(9) + b" of a task that is gone\n"),
    ]
    api.answer(f"GET /services/{SERVICE['ID']}/logs", Answer(chunks=lines))
    code, out, err = run("service", "logs", "web")
    assert code == 0
    assert out == (
        "web.1.t1t1t1t1t1t1@host1     | out\n"
        f"{SERVICE['ID']}.t9t9t9t9t9t9@{NODE['ID']}      | of a task that is gone\n"
    )
    assert err == "web.10.t2t2t2t2t2t2@host1    | err\n"
    _, _, err = run("service", "logs", "--details", "--no-task-ids", "web")
    assert err == "web.10@host1    | tag=x err\n"


def test_logs_that_break_off_are_an_error(api: UnixApi, run: Run) -> None:
    api.answer(
        f"GET /services/{SERVICE['ID']}/logs",
        Answer(chunks=[frame(1, b"a=1 whole\n") + frame(1, b"a=1 half")[:9]]),
    )
    code, out, err = run("service", "logs", "--raw", "web")
    assert (code, out) == (1, "a=1 whole\n")
    assert err == "Error: the output ended in the middle of a line\n"


def test_logs_of_a_task_and_of_nothing(api: UnixApi, run: Run) -> None:
    api.answer("GET /tasks/t1", task(1, 1) | {"ID": "t1"})
    api.answer("GET /tasks/t1/logs", Answer(chunks=[frame(1, b"line\n")]))
    assert run("service", "logs", "--raw", "--since", "10m", "--tail", "5", "t1") == (
        0,
        "line\n",
        "",
    )
    assert run("service", "logs", "nope") == (1, "", "Error: no such task or service: nope\n")


# ------------------------------------------------------------------------------ nodes and swarm


def test_node_ls(api: UnixApi, run: Run) -> None:
    code, out, _ = run("node", "ls")
    assert code == 0
    assert out.splitlines()[1].split() == [
        NODE["ID"], "*", "host1", "Ready", "Active", "Leader", "0.1.0",
    ]  # fmt: skip
    assert run("node", "ls", "-q")[1] == f"{NODE['ID']}\n"
    assert (
        run("node", "ls", "--format", "{{.ID}} {{.Self}} {{.TLSStatus}}")[1]
        == f"{NODE['ID']} true Unknown\n"
    )


def test_node_inspect_and_ps(api: UnixApi, run: Run) -> None:
    assert json.loads(run("node", "inspect", "self")[1]) == [NODE]
    pretty = run("node", "inspect", "--pretty", "self")[1]
    assert "Labels:\n - rack=1\n" in pretty
    assert " Leader:\t\tYes\n" in pretty
    assert run("node", "ps", "--format", "{{.Name}}")[1] == "web.1\nweb.1\nweb.2\n"
    assert json.loads(api.sent("GET /tasks").query["filters"]) == {"node": {NODE["ID"]: True}}


def test_this_node_in_no_swarm(api: UnixApi, run: Run) -> None:
    api.answer("GET /info", {"Swarm": {"NodeID": ""}})
    assert run("node", "inspect", "self") == (1, "", "Error: this node is not part of a swarm\n")


def test_swarm_init_leave_inspect(api: UnixApi, run: Run) -> None:
    api.answer("POST /swarm/init", "node1")
    api.answer("GET /swarm", SWARM)
    code, out, _ = run(
        "swarm", "init", "--advertise-addr", "10.0.0.1", "--cert-expiry", "48h",
        "--default-addr-pool", "10.1.0.0/16,10.2.0.0/16", "--task-history-limit", "0",
    )  # fmt: skip
    assert (code, out) == (0, NEW_SWARM.format("initialized"))
    sent = api.sent("POST /swarm/init").json
    assert sent["DefaultAddrPool"] == ["10.1.0.0/16", "10.2.0.0/16"]
    assert sent["Spec"]["CAConfig"] == {"NodeCertExpiry": 172_800 * 10**9}
    assert sent["Spec"]["Orchestration"] == {"TaskHistoryRetentionLimit": 0}
    api.answer("POST /swarm/leave", Answer())
    assert run("swarm", "leave", "--force") == (0, "Node left the swarm.\n", "")
    assert api.sent("POST /swarm/leave").query == {"force": "1"}
    assert run("swarm", "inspect", "--format", "{{.ID}}") == (0, "c1\n", "")


JOIN_WORKER = (
    "To add a worker to this swarm, run the following command:\n\n"
    "    swarmctl swarm join --token SWMTKN-1-a-w 10.0.0.1:2377\n\n"
)
NEW_SWARM = (
    "Swarm {}: current node (node1) is now a manager.\n\n"
    + JOIN_WORKER
    + "To add a manager to this swarm, run 'swarmctl swarm join-token manager' and follow the instructions.\n\n"
)
SWARM: dict[str, Any] = {
    "ID": "c1",
    "Version": {"Index": 5},
    "Spec": {"Name": "default"},
    "JoinTokens": {"Worker": "SWMTKN-1-a-w", "Manager": "SWMTKN-1-a-m"},
}


def test_swarm_join_sends_where_and_by_what_right(api: UnixApi, run: Run) -> None:
    api.answer("POST /swarm/join", Answer())
    words = ("--token", "T", "--advertise-addr", "eth1", "--availability", "drain", "10.0.0.1:2377")
    assert run("swarm", "join", *words) == (0, "This node joined a swarm as a manager.\n", "")
    assert api.sent("POST /swarm/join").json == {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": "eth1",
        "DataPathAddr": "",
        "RemoteAddrs": ["10.0.0.1:2377"],
        "JoinToken": "T",
        "Availability": "drain",
    }
    api.answer("GET /info", {"Swarm": {"NodeID": "n", "ControlAvailable": False}})
    assert run("swarm", "join", *words)[1] == "This node joined a swarm as a worker.\n"


def test_swarm_join_token(api: UnixApi, run: Run) -> None:
    api.answer("GET /swarm", SWARM)
    assert run("swarm", "join-token", "worker") == (0, JOIN_WORKER, "")
    assert run("swarm", "join-token", "-q", "manager") == (0, "SWMTKN-1-a-m\n", "")
    api.answer("POST /swarm/update", Answer())
    assert run("swarm", "join-token", "--rotate", "worker") == (
        0,
        f"Successfully rotated worker join token.\n\n{JOIN_WORKER}",
        "",
    )
    sent = api.sent("POST /swarm/update")
    assert (sent.query, sent.json) == (
        {"rotateWorkerToken": "true", "version": "5"},
        {"Name": "default"},
    )


SAVED_HEAD = SavedHead(
    cluster_id="c1", index=7, saved_at=0.0, written_by="0.9", objects={"node": 3, "task": 12}
)
SAVED = b"".join(pack_saved(SAVED_HEAD, [b"secret"]))


def test_snapshot_save_writes_a_whole_file_for_its_owner_only(
    api: UnixApi, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "c.saved"
    api.answer("GET /swarm/snapshot", Answer(chunks=[SAVED[:40], SAVED[40:]]))
    told = f"Saved the cluster up to index 7: {len(SAVED)}B in {file}\n"
    assert run("swarm", "snapshot", "save", str(file)) == (0, told, "")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (SAVED, 0o600)
    before = sorted(tmp_path.iterdir())
    api.answer("GET /swarm/snapshot", Answer(chunks=[SAVED[:-1]]))
    assert run("swarm", "snapshot", "save", str(file)) == (
        1,
        "",
        "Error: the saved cluster is damaged: its digest is another\n",
    )
    assert (file.read_bytes(), sorted(tmp_path.iterdir())) == (SAVED, before)


def test_snapshot_inspect_needs_no_swarmd(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "c.saved"
    file.write_bytes(SAVED)
    code, out, _ = run("-H", "unix:///nowhere.sock", "swarm", "snapshot", "inspect", str(file))
    assert (code, out.splitlines()[0::5]) == (0, ["Cluster ID:\tc1", "Digest:\t\tok"])
    shown = run(
        "swarm", "snapshot", "inspect", "--format", "{{.Index}} {{.Objects.task}}", str(file)
    )
    assert shown == (0, "7 12\n", "")
    file.write_bytes(SAVED.replace(b"secret", b"public"))
    assert run("swarm", "snapshot", "inspect", str(file)) == (
        1,
        "",
        "Error: the saved cluster is damaged: its digest is another\n",
    )


def test_snapshot_restore_sends_a_file_that_is_whole(
    api: UnixApi, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "c.saved"
    file.write_bytes(SAVED)
    api.answer("POST /swarm/snapshot", "node1")
    api.answer("GET /swarm", SWARM)
    words = ("swarm", "snapshot", "restore", "--advertise-addr", "10.0.0.1", str(file))
    assert run(*words) == (0, NEW_SWARM.format("restored"), "")
    sent = api.sent("POST /swarm/snapshot")
    assert (sent.body, sent.query) == (
        SAVED,
        {"advertiseAddr": "10.0.0.1", "availability": "active"},
    )
    api.requests.clear()
    file.write_bytes(SAVED[:-1])
    assert run(*words)[0] == 1
    assert api.requests == []


def test_node_demote_and_promote(api: UnixApi, run: Run) -> None:
    node = {**NODE, "Version": {"Index": 4}}
    update = f"POST /nodes/{NODE['ID']}/update"
    api.answer("GET /nodes/host1", node)
    api.answer(update, Answer())
    assert run("node", "demote", "host1") == (0, "Manager host1 demoted in the swarm.\n", "")
    sent = api.sent(update)
    assert (sent.query, sent.json) == ({"version": "4"}, {**NODE["Spec"], "Role": "worker"})
    assert run("node", "promote", "host1") == (0, "Node host1 is already a manager.\n", "")
    api.answer(update, Answer(status=400, body={"message": "a loss of quorum"}))
    assert run("node", "demote", "host1", "gone") == (
        1,
        "",
        (
            "Error response from daemon: a loss of quorum\n"
            "Error response from daemon: nothing at GET /nodes/gone\n"
        ),
    )


def test_node_update_and_rm(api: UnixApi, run: Run) -> None:
    api.answer("GET /nodes/host1", {**NODE, "Version": {"Index": 4}})
    update = f"POST /nodes/{NODE['ID']}/update"
    api.answer(update, Answer())
    words = ("--availability", "drain", "--label-add", "a=b", "--label-rm", "rack")
    assert run("node", "update", *words, "host1") == (0, "host1\n", "")
    assert api.sent(update).json == {
        "Availability": "drain",
        "Role": "manager",
        "Labels": {"a": "b"},
    }
    assert run("node", "update", "--label-rm", "x", "host1") == (
        1,
        "",
        "Error: key x doesn't exist in node's labels\n",
    )
    api.answer("DELETE /nodes/host1", Answer())
    assert run("node", "rm", "-f", "host1") == (0, "host1\n", "")
    assert api.sent("DELETE /nodes/host1").query == {"force": "1"}


@pytest.mark.parametrize(("words", "header"), [((), None), (("--stale",), "true")])
def test_stale_answers_are_asked_for_by_a_header(
    api: UnixApi, run: Run, words: tuple[str, ...], header: str | None
) -> None:
    run(*words, "node", "ls")
    assert api.sent("GET /nodes").headers.get("X-Swarmd-Stale") == header


# ------------------------------------------------------------------------ images and containers

IMAGE = {
    "Id": "sha256:" + "a" * 64,
    "Created": 1,
    "Size": 1_983_000,
    "RepoTags": ["h:1", "r:5000/h:2"],
}


def test_image_ls(api: UnixApi, run: Run) -> None:
    api.answer("GET /images/json", [IMAGE, IMAGE | {"RepoTags": None}])
    code, out, _ = run("image", "ls", "--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}", "h")
    assert (code, out) == (
        0,
        "h 1 aaaaaaaaaaaa 1.98MB\nr:5000/h 2 aaaaaaaaaaaa 1.98MB\n<none> <none> aaaaaaaaaaaa 1.98MB\n",
    )
    assert json.loads(api.sent("GET /images/json").query["filters"]) == {"reference": {"h": True}}


def test_image_import_and_load(api: UnixApi, run: Run, tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"tar")
    api.answer("POST /images/create", Answer(chunks=[b'{"status":"sha2', b'56:1"}\n']))
    assert run("image", "import", "-c", "CMD a", "-c", "ENV b=c", str(archive), "h:1")[:2] == (
        0,
        "sha256:1\n",
    )
    sent = api.sent("POST /images/create")
    assert sent.body == b"tar"
    assert sent.query == {"fromSrc": "-", "repo": "h:1", "changes": "CMD a\nENV b=c"}
    api.answer("POST /images/load", Answer(chunks=[b'{"stream":"Loaded image: h:1\\n"}']))
    assert run("image", "load", "-i", str(archive)) == (0, "Loaded image: h:1\n", "")


def test_an_archive_from_standard_input(
    api: UnixApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answer("POST /images/load", Answer(chunks=[b'{"stream":"ok"}\n']))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    assert run("image", "load") == (0, "ok\n", "")
    assert api.sent("POST /images/load").body == b"piped"


BAD_LOADS = {
    "an error in the stream": (
        Answer(chunks=[b'{"stream":"a"}\n{"error":"no tar"}\n']),
        "Error: no tar",
    ),
    "a refusal": (Answer(status=400, body={"message": "bad"}), "Error response from daemon: bad"),
    "an answer that breaks off": (Answer(chunks=[b'{"stream":"a']), "cut off"),
}


@pytest.mark.parametrize(("answer", "text"), BAD_LOADS.values(), ids=BAD_LOADS)
def test_a_load_that_fails(
    api: UnixApi, run: Run, tmp_path: Path, answer: Answer, text: str
) -> None:
    (tmp_path / "a.tar").write_bytes(b"tar")
    api.answer("POST /images/load", answer)
    code, _, err = run("image", "load", "-i", str(tmp_path / "a.tar"))
    assert code == 1
    assert text in err


def test_an_archive_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    code, _, err = run("image", "load", "-i", str(tmp_path / "none.tar"))
    assert (code, err) == (
        1,
        f"Error: cannot read {tmp_path}/none.tar: No such file or directory\n",
    )


def test_image_rm_and_inspect(api: UnixApi, run: Run) -> None:
    api.answer("DELETE /images/h:1", [{"Untagged": "h:1"}, {"Deleted": "sha256:1"}])
    code, out, err = run("image", "rm", "none:1", "h:1")
    assert (code, out) == (1, "Untagged: h:1\nDeleted: sha256:1\n")
    assert "none:1" in err
    api.answer("GET /images/r:5000/h:2/json", IMAGE)
    assert run("image", "inspect", "-f", "{{.Size}}", "r:5000/h:2")[1] == "1983000\n"


CONTAINER = {
    "Id": "c" * 64, "Names": ["/web.1.t1"], "Image": "hello:1", "Command": "/serve --with many words",
    "Created": 1, "State": "running", "Status": "Up 1 second", "Labels": {"a": "b"},
    "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
    "Mounts": [{"Type": "volume", "Name": "data", "Driver": "local"}],
    "NetworkSettings": {"Networks": {"bridge": {}}},
}  # fmt: skip


def test_container_ls(api: UnixApi, run: Run) -> None:
    api.answer("GET /containers/json", [CONTAINER])
    code, out, _ = run("container", "ls", "-a")
    assert code == 0
    assert '"/serve --with many …"' in out
    assert "0.0.0.0:8080->80/tcp" in out
    assert api.sent("GET /containers/json").query == {"all": "1"}
    shown = json.loads(run("container", "ls", "--format", "json")[1])
    assert (shown["Labels"], shown["Mounts"], shown["LocalVolumes"]) == ("a=b", "data", "1")


def test_container_logs_and_inspect(api: UnixApi, run: Run) -> None:
    api.answer("GET /containers/c1/json", {"Config": {"Tty": False}})
    api.answer("GET /containers/c1/logs", Answer(chunks=[frame(1, b"out\n"), frame(2, b"err\n")]))
    assert run("container", "logs", "-n=5", "--timestamps", "c1") == (0, "out\n", "err\n")
    assert api.sent("GET /containers/c1/logs").query == {
        "stdout": "1", "stderr": "1", "tail": "5", "timestamps": "1",
    }  # fmt: skip
    api.answer("GET /containers/c1/json", {"Config": {"Tty": True}})
    api.answer("GET /containers/c1/logs", Answer(chunks=[b"a terminal's bytes"]))
    assert run("container", "logs", "c1")[1] == "a terminal's bytes"
    assert run("container", "inspect", "-f", "{{.Config.Tty}}", "c1")[1] == "true\n"


# ----------------------------------------------------------------------------------- the rest


def test_events(api: UnixApi, run: Run) -> None:
    event = {
        "Type": "service", "Action": "update", "timeNano": 1_500_000_000,
        "Actor": {"ID": "s1", "Attributes": {"name": "web", "a": "b"}},
    }  # fmt: skip
    text = json.dumps(event).encode()
    api.answer("GET /events", Answer(chunks=[text[:20], text[20:] + b"\n"]))
    assert run("events", "--since", "1", "-f", "type=service") == (
        0, "1970-01-01T00:00:01.500000000Z service update s1 (a=b, name=web)\n", "",
    )  # fmt: skip
    assert run("events", "--format", "{{.Actor.ID}}")[1] == "s1\n"
    assert json.loads(run("events", "--format", "json")[1]) == event


def test_info_and_version(api: UnixApi, run: Run) -> None:
    assert "Swarm: active\n" in run("info")[1]
    assert run("info", "--format", "{{.Swarm.NodeID}}")[1] == f"{NODE['ID']}\n"
    api.answer("GET /version", {
        "Version": "0.1.0", "ApiVersion": "1.50", "MinAPIVersion": "1.24", "Os": "linux",
        "Arch": "amd64", "KernelVersion": "6",
    })  # fmt: skip
    code, out, _ = run("version")
    assert code == 0
    assert "API version:       1.50 (minimum version 1.24)" in out
    assert run("version", "--format", "{{.Server.Version}}")[1] == "0.1.0\n"


def test_info_tells_of_managers_and_what_is_wrong_with_them(api: UnixApi, run: Run) -> None:
    swarm = INFO["Swarm"] | {
        "Error": "The swarm does not have a leader.",
        "RemoteManagers": [{"NodeID": "m2", "Addr": "10.0.0.2:2377"}],
        "Warnings": ["WARNING: Running Swarm in a two-manager configuration."],
    }
    api.answer("GET /info", {"Swarm": swarm, "Warnings": ["no swap"]})
    lines = run("info")[1].splitlines()
    assert " Error: The swarm does not have a leader." in lines
    assert lines[lines.index(" Manager Addresses:") + 1] == "  10.0.0.2:2377"
    assert lines[-2:] == [
        "WARNING: no swap",
        "WARNING: Running Swarm in a two-manager configuration.",
    ]


def test_version_without_a_daemon_still_shows_ours(run: Run) -> None:
    code, out, err = run("-H", "unix:///nowhere.sock", "version")
    assert code == 1
    assert out.startswith("Client: swarmctl\n")
    assert "Cannot connect to swarmd at unix:///nowhere.sock" in err


@pytest.mark.parametrize("command", ["", "service", "service create", "service update", "image"])
def test_help_is_there(run: Run, command: str) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert out.startswith("Usage: swarmctl")
    assert "--network" not in out
