"""Healthchecks over the network, as they are written."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInputError
from common.health_probes import ProbeTarget, asked_by_labels, check_labels, target_of

TARGETS = {
    "a port alone is asked for /": (("HTTP", "8080"), ProbeTarget(port=8080, path="/")),
    "a path": (("HTTP", "8080/healthz?full=1"), ProbeTarget(port=8080, path="/healthz?full=1")),
    "a colon may be before it": (("HTTP", ":80/x"), ProbeTarget(port=80, path="/x")),
    "a connection": (("TCP", "5432"), ProbeTarget(port=5432)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_target(name: str) -> None:
    test, expected = TARGETS[name]

    assert target_of(test) == expected


@pytest.mark.parametrize(
    "test",
    [
        ("HTTP",),
        ("HTTP", "http://localhost:8080/"),
        ("HTTP", "0/x"),
        ("HTTP", "65536"),
        ("HTTP", "80/a b"),
        ("HTTP", "80/x\r\nHost: other"),
        ("HTTP", "80", "81"),
        ("TCP", "80/x"),
        ("TCP", "web"),
    ],
)
def test_what_is_no_target(test: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInputError, match="invalid healthcheck"):
        target_of(test)


@given(port=st.integers(1, 65535), path=st.text(st.characters(min_codepoint=33, max_codepoint=126)))
def test_what_is_written_is_asked_for(port: int, path: str) -> None:
    assert target_of(("HTTP", f"{port}/{path}")) == ProbeTarget(port=port, path=f"/{path}")


LABELS: dict[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    "none": ({"a": "b"}, ()),
    "http": ({"swarmd.health.http": "80/x"}, ("HTTP", "80/x")),
    "tcp": ({"swarmd.health.tcp": "5432"}, ("TCP", "5432")),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels(name: str) -> None:
    labels, expected = LABELS[name]

    check_labels(labels)
    assert asked_by_labels(labels) == expected


REFUSED = {
    "a label that there is not": ({"swarmd.health.htpp": "80"}, "unknown label swarmd.health.htpp"),
    "two": ({"swarmd.health.http": "80", "swarmd.health.tcp": "80"}, "exclude each other"),
    "no port": ({"swarmd.health.tcp": "web"}, "invalid healthcheck 'TCP web'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_are_refused(name: str) -> None:
    labels, words = REFUSED[name]

    with pytest.raises(InvalidInputError, match=words):
        check_labels(labels)
