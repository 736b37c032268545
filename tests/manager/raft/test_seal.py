from itertools import count
from pathlib import Path

import pytest

from common.errors import SystemFailureError
from manager.raft.seal import KEY_BYTES, SALT_BYTES, Seal, SealBrokenError, load_or_create_key

KEY = bytes(range(KEY_BYTES))


def test_what_is_sealed_can_be_opened_and_not_read() -> None:
    cipher = Seal(KEY).cipher(b"salt" * 4, b"header")
    sealed = cipher.seal(7, b"secret" * 10)
    assert b"secret" not in sealed
    assert cipher.open(7, sealed) == b"secret" * 10


def test_opens_only_under_its_number_header_salt_and_key() -> None:
    sealed = Seal(KEY).cipher(b"salt" * 4, b"header").seal(7, b"secret")
    other = Seal(KEY[::-1])
    for cipher, number in (
        (Seal(KEY).cipher(b"salt" * 4, b"header"), 8),
        (Seal(KEY).cipher(b"salt" * 4, b"HEADER"), 7),
        (Seal(KEY).cipher(b"Salt" * 4, b"header"), 7),
        (other.cipher(b"salt" * 4, b"header"), 7),
    ):
        with pytest.raises(SealBrokenError):
            cipher.open(number, sealed)


def test_the_proof_tells_another_key() -> None:
    proofs = {Seal(key).cipher(b"salt" * 4, b"header").proof for key in (KEY, KEY, KEY[::-1])}
    assert len(proofs) == 2


def test_salts_come_from_where_one_says() -> None:
    numbers = count()
    seal = Seal(KEY, lambda size: bytes([next(numbers)]) * size)
    assert [seal.new_salt() for _ in range(2)] == [bytes(SALT_BYTES), b"\1" * SALT_BYTES]
    assert Seal(KEY).new_salt() != Seal(KEY).new_salt()


def test_a_key_of_another_length_is_no_key() -> None:
    with pytest.raises(ValueError, match="a key has 32 bytes, not 3"):
        Seal(b"abc")


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
