import stat
from pathlib import Path

import pytest

from common.errors import SystemFailureError
from common.pki.files import Credentials, NodeFiles
from tests.support.pki import credentials, identity

ONE = credentials(identity("node1"))
OTHER = credentials(identity("node1"))


def kept(directory: Path, found: Credentials) -> NodeFiles:
    files = NodeFiles(directory)
    files.write(found)
    return files


def test_keeps_what_it_was_given_for_root_only(tmp_path: Path) -> None:
    files = kept(tmp_path / "certificates", ONE)
    assert files.open() == ONE
    found = {path.name: path.stat().st_mode for path in (tmp_path / "certificates").iterdir()}
    assert sorted(found) == ["swarm-node.crt", "swarm-node.key", "swarm-root-ca.crt"]
    assert {stat.S_IMODE(mode) for mode in found.values()} == {0o600}


def test_nothing_is_kept_at_first(tmp_path: Path) -> None:
    assert NodeFiles(tmp_path / "certificates").open() is None


def test_a_crash_before_the_new_certificate_leaves_the_old_one(tmp_path: Path) -> None:
    files = kept(tmp_path, ONE)
    (tmp_path / "swarm-node.key.next").write_bytes(OTHER.key)
    assert files.open() == ONE
    assert not (tmp_path / "swarm-node.key.next").exists()


def test_a_crash_after_the_new_certificate_ends_with_the_new_one(tmp_path: Path) -> None:
    files = kept(tmp_path, ONE)
    (tmp_path / "swarm-node.key.next").write_bytes(OTHER.key)
    files.certificate.write_bytes(OTHER.certificate)
    assert files.open() == OTHER
    assert files.open() == OTHER


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    files = kept(tmp_path, ONE)
    files.key.write_bytes(OTHER.key)
    with pytest.raises(SystemFailureError, match=r"swarm-node\.crt with"):
        files.open()


def test_a_damaged_root_is_refused(tmp_path: Path) -> None:
    files = kept(tmp_path, ONE)
    (tmp_path / "swarm-root-ca.crt").write_bytes(b"hello")
    with pytest.raises(SystemFailureError, match="root certificate is damaged"):
        files.open()


def test_a_file_of_any_size_is_not_read(tmp_path: Path) -> None:
    files = kept(tmp_path, ONE)
    (tmp_path / "swarm-root-ca.crt").write_bytes(b"x" * 100_000)
    with pytest.raises(SystemFailureError, match="more than"):
        files.open()


def test_the_key_does_not_show_in_a_representation() -> None:
    assert "PRIVATE" not in repr(ONE)
