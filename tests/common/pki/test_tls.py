"""Connections show and trust what a node's files say when they are made."""

from pathlib import Path

import pytest

from common.errors import SystemFailureError
from common.model.node import Role
from common.pki.tls import Tls
from tests.support.pki import credentials, files_of, identity, root_of


def roots(tls: Tls) -> set[str]:
    return {str(found["serialNumber"]) for found in tls.client().get_ca_certs()}


def test_another_root_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    files = files_of(tmp_path, identity("node1"))
    tls = Tls(files)
    before, client, server = roots(tls), tls.client(), tls.server()
    files.write(credentials(identity("node1", Role.WORKER), root_of("another")))
    assert (client, server) == (tls.client(), tls.server())
    tls.reload()
    assert not before & roots(tls)
    assert tls.client() is not client
    assert tls.server() is not server


def test_files_that_cannot_be_used_leave_what_was_in_use(tmp_path: Path) -> None:
    files = files_of(tmp_path, identity("node1"))
    tls = Tls(files)
    client = tls.client()
    files.key.write_bytes(b"no key")
    with pytest.raises(SystemFailureError):
        tls.reload()
    assert tls.client() is client


def test_a_node_without_files_has_no_tls(tmp_path: Path) -> None:
    files = files_of(tmp_path, identity("node1"))
    files.certificate.unlink()
    with pytest.raises(SystemFailureError):
        Tls(files)
