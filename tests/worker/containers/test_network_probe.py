"""Probes over the network: here of this process, whose network is the test's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.health_probes import ProbeTarget
from worker.containers.health import OUTPUT_BYTES_MAX
from worker.containers.network_probe import request_of, verdict_of
from worker.runtime.bundle import ExecResult

VERDICTS = {
    "200": (b"HTTP/1.1 200 OK\r\n\r\n", ExecResult(code=0, output=b"HTTP/1.1 200 OK")),
    "its words are kept": (
        b"HTTP/1.0 503 Busy\r\nA: b\r\n\r\nno database",
        ExecResult(code=1, output=b"HTTP/1.0 503 Busy\nno database"),
    ),
    "a redirection is an answer": (
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",
        ExecResult(code=0, output=b"HTTP/1.1 302 Found"),
    ),
    "nothing": (b"", ExecResult(code=1, output=b"no answer of HTTP: ")),
    "another protocol": (
        b"SSH-2.0-x\r\n",
        ExecResult(code=1, output=b"no answer of HTTP: SSH-2.0-x"),
    ),
    "no number": (
        b"HTTP/1.1 fine\r\n\r\n",
        ExecResult(code=1, output=b"no answer of HTTP: HTTP/1.1 fine"),
    ),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_verdict(name: str) -> None:
    answer, expected = VERDICTS[name]

    assert verdict_of(answer) == expected


@given(answer=st.binary(max_size=3 * OUTPUT_BYTES_MAX))
def test_any_answer_has_a_verdict_of_bounded_size(answer: bytes) -> None:
    verdict = verdict_of(answer)

    assert verdict.code in (0, 1)
    assert len(verdict.output) <= OUTPUT_BYTES_MAX + len("no answer of HTTP: ")


def test_a_request() -> None:
    text = request_of(ProbeTarget(port=80, path="/x"))

    assert text.startswith(b"GET /x HTTP/1.1\r\nHost: localhost:80\r\n")
    assert text.endswith(b"\r\n\r\n")
