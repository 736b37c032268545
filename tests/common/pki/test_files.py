import stat
from pathlib import Path

import pytest

from cli.swarmd.renewing import roots_in
from common.errors import SystemFailureError
from common.pki.files import Credentials, NodeFiles
from common.pki.lock import Lock
from tests.support.pki import credentials, identity, root_of

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


def test_whichever_certificate_a_crash_leaves_its_root_is_trusted(tmp_path: Path) -> None:
    files = kept(tmp_path, ONE)
    of_another = credentials(identity("node1"), root_of("another"))
    blocked = tmp_path / "swarm-node.crt"
    blocked.unlink()
    blocked.mkdir()  # the disk refuses the certificate
    with pytest.raises(OSError, match="swarm-node"):
        files.write(of_another)
    assert roots_in(files.root()) == roots_in(ONE.root) | roots_in(of_another.root)
    blocked.rmdir()
    files.write(of_another)
    assert files.open() == of_another


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


# -------------------------------------------------------------------------------------- locked

LOCK = Lock(b"1" * 32)


def locked(directory: Path) -> NodeFiles:
    files = kept(directory, ONE)
    files.relock(LOCK)
    return files


def test_a_locked_key_is_of_use_with_its_lock_alone(tmp_path: Path) -> None:
    files = locked(tmp_path)
    assert b"ENCRYPTED" in files.key.read_bytes()
    assert files.open() == ONE
    files.client_context()
    files.server_context()
    for lock in (None, Lock(b"2" * 32)):
        stranger = NodeFiles(tmp_path)
        stranger.lock = lock
        for use in (stranger.open, stranger.client_context, stranger.server_context):
            with pytest.raises(SystemFailureError):
                use()


def test_a_renewed_certificate_stays_locked(tmp_path: Path) -> None:
    files = locked(tmp_path)
    files.write(OTHER)
    assert b"ENCRYPTED" in files.key.read_bytes()
    assert files.open() == OTHER


def test_a_lock_changes_and_goes(tmp_path: Path) -> None:
    files = locked(tmp_path)
    files.relock(LOCK.within())
    assert files.open() == ONE
    files.relock(None)
    assert files.key.read_bytes() == ONE.key
    assert NodeFiles(tmp_path).open() == ONE


def test_a_key_in_clear_is_read_with_a_lock_too(tmp_path: Path) -> None:
    kept(tmp_path, ONE)
    files = NodeFiles(tmp_path)
    files.lock = LOCK
    assert files.open() == ONE
    files.server_context()


def test_nothing_in_clear_is_left_beside_a_locked_key(tmp_path: Path) -> None:
    kept(tmp_path, ONE)
    for name in ("swarm-node.key.new", "swarm-node.key.next", "swarm-node.key.next.new"):
        (tmp_path / name).write_bytes(OTHER.key)
    NodeFiles(tmp_path).relock(LOCK)
    found = {path.name for path in tmp_path.iterdir() if b"BEGIN PRIVATE" in path.read_bytes()}
    assert found == set()


def test_a_lock_before_there_is_a_certificate_counts_from_the_beginning(tmp_path: Path) -> None:
    files = NodeFiles(tmp_path / "certificates")
    files.relock(LOCK)
    files.write(ONE)
    assert b"ENCRYPTED" in files.key.read_bytes()
