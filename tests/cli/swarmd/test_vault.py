"""The lock on a manager's keys, whatever moment it dies at."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.swarmd.places import Places
from cli.swarmd.vault import Vault
from common.errors import SystemFailureError
from common.pki.lock import Lock, WrongKeyError
from manager.raft.key_file import LockedError
from manager.raft.storage import Storage
from tests.support.crashes import CrashedError, crash_before
from tests.support.pki import credentials, identity

KEPT = credentials(identity("node1"))
ONE, OTHER, WRONG = Lock(b"1" * 32), Lock(b"2" * 32), Lock(b"3" * 32)


def places_in(directory: Path, lock: Lock | None) -> Places:
    """A manager's directory, its keys locked or in clear."""
    places = Places(directory)
    if lock is not None:
        places.vault.begin(lock)
    places.certificates.write(KEPT)
    storage(places).open().close()
    return places


def storage(places: Places) -> Storage:
    return Storage.at(places.log, places.vault.keys)


def opened(directory: Path, lock: Lock | None) -> Places | None:
    """What a start finds with that key, or without one; None when it does not open."""
    places = Places(directory)
    if places.vault.is_locked() != (lock is not None):
        return None
    try:
        if lock is not None:
            places.vault.unlock(lock)
        else:
            places.vault.open()
    except WrongKeyError:
        return None
    return places


def in_clear(directory: Path, secrets: tuple[bytes, ...]) -> list[str]:
    """Files that give something away."""
    return [
        path.name
        for path in sorted(directory.rglob("*"))
        if path.is_file()
        and any(secret in path.read_bytes() for secret in (b"BEGIN PRIVATE KEY", *secrets))
    ]


@pytest.mark.parametrize("lock", [None, ONE])
def test_opens_with_its_lock(tmp_path: Path, lock: Lock | None) -> None:
    places_in(tmp_path, lock)
    found = opened(tmp_path, lock)
    assert found is not None
    assert found.certificates.open() == KEPT
    assert found.vault.lock == lock
    storage(found).open().close()
    assert opened(tmp_path, WRONG) is None


def test_a_wrong_key_changes_nothing(tmp_path: Path) -> None:
    places_in(tmp_path, ONE)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    vault = Places(tmp_path).vault
    with pytest.raises(WrongKeyError):
        vault.unlock(WRONG)
    assert {path: path.read_bytes() for path in before} == before
    vault.unlock(ONE)


def relock(to: Lock | None) -> Callable[[Vault], None]:
    return lambda vault: vault.relock(to)


CHANGES: dict[str, tuple[Lock | None, Lock | None, Callable[[Vault], None]]] = {
    "locks": (None, ONE, relock(ONE)),
    "locks with another key": (ONE, OTHER, relock(OTHER)),
    "unlocks for good": (ONE, None, relock(None)),
}


@pytest.mark.parametrize(("old", "new", "change"), CHANGES.values(), ids=CHANGES)
def test_after_a_crash_at_any_moment_it_opens_with_the_old_or_the_new_key(
    tmp_path: Path, old: Lock | None, new: Lock | None, change: Callable[[Vault], None]
) -> None:
    places_in(tmp_path / "before", old)
    found = []
    for moment in range(1, 100):
        directory = tmp_path / str(moment)
        shutil.copytree(tmp_path / "before", directory)
        places = opened(directory, old)
        assert places is not None
        secrets = places.vault.keys.load()
        try:
            with crash_before(moment):
                change(places.vault)
        except CrashedError:
            is_complete = False
        else:
            is_complete = True
        is_locked = Places(directory).vault.is_locked()
        assert in_clear(directory, secrets) == [] or not is_locked
        after = next((lock for lock in (new, old) if opened(directory, lock) is not None), WRONG)
        found.append(after)
        again = opened(directory, after)
        assert again is not None
        assert again.certificates.open() == KEPT
        assert (in_clear(directory, secrets) == []) == (after is not None)
        storage(again).open().close()
        if is_complete:
            break
    assert len(found) > 4
    assert found == sorted(found, key=lambda lock: lock is new), "old ones, then new ones"
    assert (found[0], found[-1]) == (old, new)


def test_a_worker_needs_no_key_whenever_its_manager_dies(tmp_path: Path) -> None:
    for moment in range(1, 100):
        directory = tmp_path / str(moment)
        places = places_in(directory, ONE)
        try:
            with crash_before(moment):
                places.vault.release()
        except CrashedError:
            assert opened(directory, ONE) is not None, "still the manager that it was"
        else:
            places.forget_log()
            assert Places(directory).certificates.open() == KEPT
            return
    raise AssertionError("it never ends")


def test_a_new_log_after_a_locked_one_is_not_locked(tmp_path: Path) -> None:
    places = places_in(tmp_path, ONE)
    places.vault.release()
    places.forget_log()
    storage(places).open().close()
    assert not Places(tmp_path).vault.is_locked()


def test_a_disk_that_refuses_leaves_the_lock_as_it_is(tmp_path: Path) -> None:
    places = places_in(tmp_path, ONE)
    (tmp_path / "raft" / "key.new").mkdir()
    with pytest.raises(SystemFailureError):
        places.vault.relock(OTHER)
    assert places.vault.lock == ONE
    (tmp_path / "raft" / "key.new").rmdir()
    assert opened(tmp_path, ONE) is not None


def test_the_key_of_a_certificate_may_be_encrypted_for_an_older_key_of_the_log(
    tmp_path: Path,
) -> None:
    places = places_in(tmp_path, ONE)
    keys = places.vault.keys
    keys.replace_keys((b"k" * 32, *keys.load()))
    again = opened(tmp_path, ONE)
    assert again is not None
    assert again.certificates.open() == KEPT
    again.vault.keys.replace_keys((b"k" * 32,))
    last = opened(tmp_path, ONE)
    assert last is not None
    assert last.certificates.open() == KEPT


def test_a_copy_of_a_locked_managers_directory_opens_nothing(tmp_path: Path) -> None:
    places_in(tmp_path / "swarm", ONE)
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "swarm", copy)
    places = Places(copy)
    with pytest.raises(LockedError):
        places.vault.open()
    with pytest.raises(LockedError):
        storage(places).open()
    for use in (
        places.certificates.open,
        places.certificates.client_context,
        places.certificates.server_context,
    ):
        with pytest.raises(SystemFailureError):
            use()
    assert in_clear(copy, ()) == []
