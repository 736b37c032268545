"""The config of an image that is made of a container."""

import json
from typing import Any

import pytest

from common.errors import InvalidInputError
from worker.images.changes import settings_of
from worker.images.committed import check_settings, committed_config, merged_settings

MERGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "nothing is wanted": ({}, {"Cmd": ["a"]}, {"Cmd": ["a"]}),
    "what is empty is not wanted": ({"Cmd": [], "User": ""}, {"Cmd": ["a"]}, {"Cmd": ["a"]}),
    "a command is replaced": (
        {"Cmd": ["b"]},
        {"Cmd": ["a"], "User": "u"},
        {"Cmd": ["b"], "User": "u"},
    ),
    "an entrypoint takes no arguments of another": (
        {"Entrypoint": ["e"]},
        {"Entrypoint": ["d"], "Cmd": ["a"]},
        {"Entrypoint": ["e"]},
    ),
    "variables are added": (
        {"Env": ["A=2", "C=3"]},
        {"Env": ["A=1", "B=1"]},
        {"Env": ["A=2", "B=1", "C=3"]},
    ),
    "so are labels, ports and volumes": (
        {"Labels": {"a": "2"}, "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/v": {}}},
        {"Labels": {"a": "1", "b": "1"}, "ExposedPorts": {"22/tcp": {}}},
        {
            "Labels": {"a": "2", "b": "1"},
            "ExposedPorts": {"22/tcp": {}, "80/tcp": {}},
            "Volumes": {"/v": {}},
        },
    ),
    "what only a container has is left out": ({"Hostname": "h", "Tty": True}, {}, {}),
}


@pytest.mark.parametrize("case", MERGES)
def test_merged_settings(case: str) -> None:
    wanted, base, expected = MERGES[case]
    before = json.dumps(base)

    assert merged_settings(wanted, base) == expected
    assert json.dumps(base) == before


def test_instructions_change_what_the_request_brings() -> None:
    given = check_settings({"Env": ["A=1", "BARE"], "Cmd": ["x"]})

    assert settings_of(["ENV A=2", "CMD y"], given) == {
        "Env": ["A=2", "BARE="],
        "Cmd": ["/bin/sh", "-c", "y"],
    }


@pytest.mark.parametrize("raw", [5, [1], {"Env": 5}, {"Cmd": "x"}, {"Labels": {"a": 1}}])
def test_what_is_no_config(raw: object) -> None:
    with pytest.raises(InvalidInputError):
        check_settings(raw)


def committed(parent: dict[str, Any], **more: str) -> dict[str, Any]:
    texts = {"author": "", "comment": "", "created_by": "sh -c x", **more}
    data = committed_config(
        parent, settings={"Cmd": ["a"]}, diff_ids=["sha256:1", "sha256:2"], now="now", **texts
    )
    found: dict[str, Any] = json.loads(data)
    return found


def test_the_config_is_the_parents_and_a_step_more() -> None:
    parent = {
        "architecture": "amd64",
        "os": "linux",
        "author": "first",
        "history": [{"created": "then"}],
    }

    found = committed(parent, comment="why")

    assert found == {
        "architecture": "amd64",
        "os": "linux",
        "author": "first",
        "comment": "why",
        "config": {"Cmd": ["a"]},
        "created": "now",
        "history": [
            {"created": "then"},
            {"created": "now", "created_by": "sh -c x", "comment": "why"},
        ],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2"]},
    }


def test_each_layer_of_a_parent_without_a_history_is_a_step() -> None:
    assert len(committed({"created": "then"}, author="me")["history"]) == 2
