"""The commands around the unlock key, on an API with chosen answers."""

import io
import sys
from typing import Any

import pytest

from tests.cli.swarmctl.conftest import Run
from tests.support.unix_api import Answer, UnixApi

KEY = "SWMKEY-1-" + "A" * 43
HOW = (
    "To unlock a swarm manager after it restarts, run the `swarmctl swarm unlock`\n"
    "command and provide the following key:\n\n"
    f"    {KEY}\n\n"
    "Remember to store this key in a password manager, since without it you\n"
    "will not be able to restart the manager.\n"
)


def swarm(*, locks: bool) -> dict[str, Any]:
    spec = {
        "Name": "default",
        "EncryptionConfig": {"AutoLockManagers": locks},
        "Raft": {"ElectionTick": 10},
    }
    return {"ID": "c1", "Version": {"Index": 5}, "Spec": spec, "JoinTokens": {"Worker": "w"}}


@pytest.fixture(autouse=True)
def locking(api: UnixApi) -> None:
    """A swarm that locks its managers."""
    api.answer("GET /swarm", swarm(locks=True))
    api.answer("GET /swarm/unlockkey", {"UnlockKey": KEY})
    api.answer("POST /swarm/update", Answer())
    api.answer("POST /swarm/unlock", Answer())


def stand(api: UnixApi, state: str) -> None:
    api.answer("GET /info", {"Swarm": {"NodeID": "n1", "LocalNodeState": state}})


def test_init_shows_the_key(api: UnixApi, run: Run) -> None:
    stand(api, "active")
    api.answer("GET /nodes/n1", {"ManagerStatus": {"Addr": "10.0.0.1:2377"}})
    api.answer("POST /swarm/init", "n1")
    code, out, _ = run("swarm", "init", "--autolock")
    assert code == 0
    assert out.endswith(HOW)
    sent = api.sent("POST /swarm/init").json
    assert sent["Spec"]["EncryptionConfig"] == {"AutoLockManagers": True}


def test_unlock_key(run: Run) -> None:
    assert run("swarm", "unlock-key") == (0, HOW, "")
    assert run("swarm", "unlock-key", "-q") == (0, f"{KEY}\n", "")


def test_there_is_no_unlock_key(api: UnixApi, run: Run) -> None:
    api.answer("GET /swarm/unlockkey", {"UnlockKey": ""})
    for words in ([], ["-q"]):
        assert run("swarm", "unlock-key", *words) == (1, "", "Error: no unlock key is set\n")


def test_rotates_the_unlock_key(api: UnixApi, run: Run) -> None:
    told = f"Successfully rotated manager unlock key.\n\n{HOW}"
    assert run("swarm", "unlock-key", "--rotate") == (0, told, "")
    sent = api.sent("POST /swarm/update")
    assert sent.query == {"rotateManagerUnlockKey": "true", "version": "5"}
    assert sent.json == swarm(locks=True)["Spec"]
    assert run("swarm", "unlock-key", "--rotate", "-q") == (0, f"{KEY}\n", "")


def test_rotates_no_key_of_a_swarm_that_does_not_lock(api: UnixApi, run: Run) -> None:
    api.answer("GET /swarm", swarm(locks=False))
    expected = "Error: cannot rotate because autolock is not turned on\n"
    assert run("swarm", "unlock-key", "--rotate") == (1, "", expected)


def test_unlocks_with_a_key_from_stdin(
    api: UnixApi, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(api, "locked")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\nmore\n"))
    assert run("swarm", "unlock") == (0, "", "")
    assert api.sent("POST /swarm/unlock").json == {"UnlockKey": KEY}


def test_a_wrong_key_is_told(api: UnixApi, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stand(api, "locked")
    monkeypatch.setattr(sys, "stdin", io.StringIO("nonsense"))
    api.answer("POST /swarm/unlock", Answer(status=400, body={"message": "invalid key string"}))
    code, out, err = run("swarm", "unlock")
    assert (code, out) == (1, "")
    assert "invalid key string" in err


STATES = {
    "inactive": "Error: this node is not part of a swarm\n",
    "active": "Error: swarm is not locked\n",
}


@pytest.mark.parametrize(("state", "expected"), STATES.items())
def test_unlocks_only_what_is_locked(api: UnixApi, run: Run, state: str, expected: str) -> None:
    stand(api, state)
    assert run("swarm", "unlock") == (1, "", expected)


def test_update_turns_the_lock_on_and_off(api: UnixApi, run: Run) -> None:
    assert run("swarm", "update", "--autolock=false") == (0, "Swarm updated.\n", "")
    assert api.sent("POST /swarm/update").json == swarm(locks=False)["Spec"]
    assert run("swarm", "update", "--autolock") == (0, "Swarm updated.\n", ""), "it was on"
    api.answer("GET /swarm", swarm(locks=False))
    assert run("swarm", "update", "--autolock=true") == (0, f"Swarm updated.\n{HOW}", "")
    sent = api.sent("POST /swarm/update")
    assert (sent.json, sent.query) == (swarm(locks=True)["Spec"], {"version": "5"})


def test_update_changes_what_is_said_and_nothing_else(api: UnixApi, run: Run) -> None:
    words = (
        "--cert-expiry", "48h", "--dispatcher-heartbeat", "2s", "--max-snapshots", "1",
        "--snapshot-interval", "9", "--task-history-limit", "0",
    )  # fmt: skip
    assert run("swarm", "update", *words) == (0, "Swarm updated.\n", "")
    assert api.sent("POST /swarm/update").json == {
        "Name": "default",
        "EncryptionConfig": {"AutoLockManagers": True},
        "Raft": {"ElectionTick": 10, "KeepOldSnapshots": 1, "SnapshotInterval": 9},
        "CAConfig": {"NodeCertExpiry": 48 * 3600 * 10**9},
        "Dispatcher": {"HeartbeatPeriod": 2 * 10**9},
        "Orchestration": {"TaskHistoryRetentionLimit": 0},
    }


def test_update_refuses_what_is_no_duration(run: Run) -> None:
    code, _, err = run("swarm", "update", "--cert-expiry", "x")
    assert code == 2
    assert "--cert-expiry" in err
