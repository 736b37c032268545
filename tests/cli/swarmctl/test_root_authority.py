"""swarmctl swarm ca."""

from pathlib import Path
from typing import Any

import pytest

from cli.swarmctl.root_authority import PEM_BYTES_MAX
from tests.cli.swarmctl.conftest import Run
from tests.support.unix_api import Answer, UnixApi

TLS = {"TrustRoot": "ROOT\n", "CertIssuerSubject": "s", "CertIssuerPublicKey": "k"}
SWARM: dict[str, Any] = {
    "ID": "c1",
    "Version": {"Index": 5},
    "Spec": {"Name": "default", "CAConfig": {"NodeCertExpiry": 7, "ForceRotate": 2}},
    "TLSInfo": TLS,
    "RootRotationInProgress": False,
}


@pytest.fixture
def swarm(api: UnixApi) -> UnixApi:
    api.answer("GET /swarm", SWARM)
    api.answer("GET /nodes", [{"Description": {"TLSInfo": TLS}}])
    api.answer("POST /swarm/update", Answer())
    return api


def test_shows_the_root(swarm: UnixApi, run: Run) -> None:
    assert run("swarm", "ca") == (0, "ROOT\n", "")


def test_begins_a_change_and_does_not_wait(swarm: UnixApi, run: Run) -> None:
    assert run("swarm", "ca", "--rotate", "-d", "--cert-expiry", "2h") == (0, "", "")
    sent = swarm.sent("POST /swarm/update")
    assert sent.query == {"version": "5"}
    assert sent.json["CAConfig"] == {
        "NodeCertExpiry": 2 * 3600 * 10**9,
        "ForceRotate": 3,
        "SigningCACert": "",
        "SigningCAKey": "",
    }


def test_waits_and_shows_the_root(swarm: UnixApi, run: Run) -> None:
    code, told, _ = run("swarm", "ca", "--rotate")
    assert code == 0
    assert told.startswith("desired root digest: sha256:")
    assert "1/1 nodes" in told
    assert told.endswith("\nROOT\n")


def test_waits_in_silence(swarm: UnixApi, run: Run) -> None:
    assert run("swarm", "ca", "--rotate", "-q") == (0, "", "")


def test_gives_a_root(swarm: UnixApi, run: Run, tmp_path: Path) -> None:
    (tmp_path / "crt").write_text("CERTIFICATE")
    (tmp_path / "key").write_text("KEY")
    words = ("--ca-cert", f"{tmp_path}/crt", "--ca-key", f"{tmp_path}/key")
    assert run("swarm", "ca", "--rotate", "-d", *words) == (0, "", "")
    config = swarm.sent("POST /swarm/update").json["CAConfig"]
    assert (config["SigningCACert"], config["SigningCAKey"]) == ("CERTIFICATE", "KEY")
    assert config["ForceRotate"] == 2, "the given root is asked for, and no new one"


REFUSED = {
    "a certificate without --rotate": (["--ca-cert", "x"], "requires the `--rotate` flag"),
    "a life without --rotate": (["--cert-expiry", "1h"], "requires the `--rotate` flag"),
    "a certificate without a key": (["--rotate", "--ca-cert", "FILE"], "--ca-key flag be provided"),
    "a file that is not there": (["--rotate", "--ca-cert", "/nowhere"], "cannot read /nowhere"),
    "a huge file": (["--rotate", "--ca-cert", "HUGE"], "has more than"),
    "a file that is no text": (["--rotate", "--ca-cert", "BINARY"], "is not in PEM"),
    "an empty file": (["--rotate", "--ca-cert", "EMPTY"], "is empty"),
    "a life that is none": (["--rotate", "--cert-expiry", "x"], "--cert-expiry"),
    "an authority outside": (["--rotate", "--external-ca", "x"], "not available yet"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(swarm: UnixApi, run: Run, tmp_path: Path, case: str) -> None:
    (tmp_path / "FILE").write_text("CERTIFICATE")
    (tmp_path / "HUGE").write_text("x" * (PEM_BYTES_MAX + 1))
    (tmp_path / "BINARY").write_bytes(b"\xff\xfe")
    (tmp_path / "EMPTY").write_text("")
    words, why = REFUSED[case]
    named = [f"{tmp_path}/{word}" if word.isupper() else word for word in words]
    code, _, told = run("swarm", "ca", *named)
    assert code != 0
    assert why in told
