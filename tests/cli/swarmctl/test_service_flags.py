from typing import Any

import pytest

from cli.swarmctl.service_flags import created, updated

C = ("TaskTemplate", "ContainerSpec")


def at(spec: dict[str, Any], *path: str) -> object:
    found: Any = spec
    for key in path:
        found = found[key]
    return found


CREATED: dict[str, tuple[dict[str, Any], tuple[str, ...], Any]] = {
    "one replica by itself": ({}, ("Mode",), {"Replicated": {"Replicas": 1}}),
    "replicas": ({"replicas": 3}, ("Mode",), {"Replicated": {"Replicas": 3}}),
    "global": ({"mode": "global"}, ("Mode",), {"Global": {}}),
    "a label": ({"label": ("a=b",)}, ("Labels",), {"a": "b"}),
    "a limit": (
        {"limit-memory": "1g"},
        ("TaskTemplate", "Resources", "Limits"),
        {"MemoryBytes": 2**30},
    ),
    "a healthcheck": (
        {"health-cmd": "true", "health-interval": "1s"},
        (*C, "Healthcheck"),
        {"Test": ["CMD-SHELL", "true"], "Interval": 10**9},
    ),
    "no healthcheck": ({"no-healthcheck": True}, (*C, "Healthcheck"), {"Test": ["NONE"]}),
    "update settings": (
        {"update-order": "start-first", "update-parallelism": "2"},
        ("UpdateConfig",),
        {"Order": "start-first", "Parallelism": 2},
    ),
    "one at a time unless it is said": (
        {"update-order": "start-first"},
        ("UpdateConfig",),
        {"Order": "start-first", "Parallelism": 1},
    ),
    "a switch": ({"read-only": True}, (*C, "ReadOnly"), True),
    "log options": (
        {"log-opt": ("max-size=1m",)},
        ("TaskTemplate", "LogDriver", "Options"),
        {"max-size": "1m"},
    ),
}


@pytest.mark.parametrize(("given", "path", "expected"), CREATED.values(), ids=CREATED)
def test_creates(given: dict[str, Any], path: tuple[str, ...], expected: object) -> None:
    assert at(created("web", "hello:1", (), given), *path) == expected


def test_the_command_line_of_the_container() -> None:
    assert at(created("", "hello:1", ("sleep", "1"), {}), *C) == {
        "Image": "hello:1",
        "Args": ["sleep", "1"],
    }


SPEC = created(
    "web",
    "hello:1",
    (),
    {
        "env": ("A=1", "B=2"),
        "publish": ("8080:80", "9090:90"),
        "label": ("x=y",),
        "constraint": ("node.role==worker",),
    },
)

UPDATED: dict[str, tuple[dict[str, Any], tuple[str, ...], Any]] = {
    "the image": ({"image": "hello:2"}, (*C, "Image"), "hello:2"),
    "a variable is replaced": ({"env-add": ("A=3",)}, (*C, "Env"), ["B=2", "A=3"]),
    "a variable is removed": ({"env-rm": ("A",)}, (*C, "Env"), ["B=2"]),
    "a label is removed": ({"label-rm": ("x",)}, ("Labels",), {}),
    "a constraint is removed": (
        {"constraint-rm": ("node.role==worker",)},
        ("TaskTemplate", "Placement", "Constraints"),
        [],
    ),
    "force": ({"force": True}, ("TaskTemplate", "ForceUpdate"), 1),
    "replicas": ({"replicas": 5}, ("Mode", "Replicated", "Replicas"), 5),
}


@pytest.mark.parametrize(("given", "path", "expected"), UPDATED.values(), ids=UPDATED)
def test_updates(given: dict[str, Any], path: tuple[str, ...], expected: object) -> None:
    assert at(updated(SPEC, given), *path) == expected


def test_a_port_is_moved_and_another_removed_by_target() -> None:
    spec = updated(SPEC, {"publish-add": ("8081:80",), "publish-rm": ("90",)})
    assert [
        (port["PublishedPort"], port["TargetPort"]) for port in spec["EndpointSpec"]["Ports"]
    ] == [(8081, 80)]


def test_an_update_leaves_the_former_spec_alone() -> None:
    before = repr(SPEC)
    updated(SPEC, {"env-add": ("C=1",), "image": "x", "force": True})
    assert repr(SPEC) == before


REFUSED: dict[str, dict[str, Any]] = {
    "replicas of a global service": {"mode": "global", "replicas": 2},
    "both kinds of health flags": {"no-healthcheck": True, "health-cmd": "true"},
    "a duration that is none": {"restart-delay": "soon"},
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_refuses(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"replicas|conflicts|invalid"):
        created("web", "hello:1", (), given)
