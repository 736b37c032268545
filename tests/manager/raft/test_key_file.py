import stat
from pathlib import Path

import pytest

from common.errors import SystemFailureError
from common.pki.lock import Lock, WrongKeyError
from manager.raft.key_file import KEYS_MAX, KeyFile, LockedError, load_or_create_key
from manager.raft.records import JournalDamagedError, unpack_header
from manager.raft.seal import KEY_BYTES, Seal
from manager.raft.storage import Opened, Storage

ONE, OTHER = Lock(b"1" * 32), Lock(b"2" * 32)


def test_a_new_key_is_private_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "raft" / "key"
    key = load_or_create_key(path)
    assert len(key) == KEY_BYTES
    assert load_or_create_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create_key(tmp_path / "other" / "key") != key


@pytest.mark.parametrize("name", ["log-0000000000000001", "snapshot-0000000000000001"])
def test_no_new_key_is_made_beside_what_is_sealed_with_the_old_one(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SystemFailureError, match=rf"key is gone, and without it {name}"):
        load_or_create_key(tmp_path / "key")
    assert not (tmp_path / "key").exists()


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(SystemFailureError, match="damaged: it has 5 bytes, not 32"):
        load_or_create_key(tmp_path / "key")


def test_a_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(SystemFailureError, match=f"cannot use the key {tmp_path}/key: Is a dir"):
        load_or_create_key(tmp_path / "key")


# -------------------------------------------------------------------------------------- sealed


def sealed(path: Path, lock: Lock = ONE) -> tuple[bytes, ...]:
    """A file of one key, sealed; the key."""
    file = KeyFile(path)
    file.load_or_create()
    file.relock(lock)
    file.replace_keys(file.load()[:1])
    return file.load()


def test_a_sealed_key_opens_with_its_lock_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys = sealed(path)
    file = KeyFile(path)
    assert file.is_sealed()
    assert file.lock is None
    for use in (file.load, file.load_or_create, lambda: file.relock(None)):
        with pytest.raises(LockedError, match="Swarm is encrypted and needs to be unlocked"):
            use()
    before = path.read_bytes()
    with pytest.raises(WrongKeyError):
        file.unlock(OTHER)
    assert file.lock is None
    assert path.read_bytes() == before
    file.unlock(ONE)
    assert file.load() == keys
    assert keys[0] not in before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_behind_a_sealed_key_does_not_open(tmp_path: Path) -> None:
    Storage.at(tmp_path).open().close()
    KeyFile(tmp_path / "key").relock(ONE)
    with pytest.raises(LockedError):
        Storage.at(tmp_path).open()
    file = KeyFile(tmp_path / "key")
    file.unlock(ONE)
    Storage.at(tmp_path, file).open().close()


def test_a_key_that_is_sealed_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "raft" / "key"
    KeyFile(path).begin(ONE)
    assert KeyFile(path).is_sealed()
    with pytest.raises(LockedError):
        KeyFile(path).load()


def test_the_lock_changes_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys = sealed(path)
    file = KeyFile(path)
    file.unlock(ONE)
    file.relock(OTHER)
    with pytest.raises(WrongKeyError):
        KeyFile(path).unlock(ONE)
    assert file.load()[1:] == keys, "behind a new one"
    file.replace_keys(keys[-1:])
    file.relock(None)
    assert file.lock is None
    assert path.read_bytes() == keys[-1], "as versions before locks read it"


def test_several_keys_are_kept_in_order_sealed_or_not(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys = (b"b" * KEY_BYTES, *sealed(path))
    file = KeyFile(path)
    file.unlock(ONE)
    file.replace_keys(keys)
    assert keys[1] not in path.read_bytes()
    assert file.load() == keys
    file.relock(None)
    assert KeyFile(path).load() == keys
    assert not KeyFile(path).is_sealed()


def test_damage_is_told_from_a_wrong_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed(path)
    whole = path.read_bytes()
    for at in range(8, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(SystemFailureError, match="does not fit its checksum"):
            KeyFile(path).unlock(ONE)
    path.write_bytes(whole[:-1])
    with pytest.raises(SystemFailureError, match="does not fit its checksum"):
        KeyFile(path).is_sealed()


def test_what_a_crash_has_left_in_clear_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "key"
    sealed(path)
    (tmp_path / "key.new").write_bytes(b"k" * KEY_BYTES)
    KeyFile(path).tidy()
    KeyFile(path).tidy()
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


def test_a_key_that_is_gone_is_not_made_anew_by_reading(tmp_path: Path) -> None:
    with pytest.raises(SystemFailureError, match="key is gone"):
        KeyFile(tmp_path / "key").load()
    assert not KeyFile(tmp_path / "key").is_sealed()


# ------------------------------------------------------------------------------- another key


def log_in(directory: Path, file: KeyFile) -> Opened:
    opened = Storage.at(directory, file).open()
    opened.journal.add(b"secret", opened.journal.last_index + 1, 1)
    opened.journal.flush()
    return opened


def test_another_lock_brings_another_key_for_what_is_written_from_then_on(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    opened = log_in(tmp_path, file)
    (first,) = file.load()
    file.relock(ONE)
    newest, before = file.load()
    assert before == first
    opened.journal.add(b"more", 2, 1)
    opened.journal.flush()
    opened.journal.add(b"and more", 3, 1)
    opened.journal.close()
    opened.directory.close()
    names = sorted(path.name for path in tmp_path.glob("log-*"))
    assert len(names) == 2, "the segment under the former key is not written to any more"
    assert opens(tmp_path / names[0], first)
    assert not opens(tmp_path / names[1], first)
    assert opens(tmp_path / names[1], newest)
    again = KeyFile(tmp_path / "key")
    again.unlock(ONE)
    reopened = Storage.at(tmp_path, again).open()
    assert [entry[0] for entry in reopened.journal.entries] == [b"secret", b"more", b"and more"]
    assert again.load() == (newest, first), "a segment still needs it"
    reopened.close()


def test_a_key_that_no_file_needs_any_more_is_forgotten_by_the_next_start(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    opened = log_in(tmp_path, file)
    file.relock(ONE)
    (newest, _) = file.load()
    with opened.snapshots.create(1, 1, b"") as writer:
        writer.finish()
    opened.journal.add(b"more", 2, 1)
    opened.journal.flush()
    opened.journal.compact(1)
    opened.close()
    for keeps_all, expected in ((True, 2), (False, 1)):
        again = KeyFile(tmp_path / "key")
        again.unlock(ONE)
        again.keeps_all = keeps_all
        Storage.at(tmp_path, again).open().close()
        assert len(again.load()) == expected
        assert again.load()[0] == newest


def test_a_lock_that_changes_often_brings_no_more_keys_than_there_may_be(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    log_in(tmp_path, file).close()
    for number in range(2 * KEYS_MAX):
        file.relock(Lock(bytes([number]) * 32))
    assert len(file.load()) == KEYS_MAX
    Storage.at(tmp_path, file).open().close()
    assert len(file.load()) == 2


def opens(segment: Path, key: bytes) -> bool:
    try:
        unpack_header(segment.read_bytes(), segment.name, Seal(key))
    except JournalDamagedError:
        return False
    return True
