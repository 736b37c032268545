from itertools import count

import pytest

from manager.raft.seal import KEY_BYTES, SALT_BYTES, Seal, SealBrokenError

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


def test_a_seal_of_several_keys_seals_with_the_newest_and_opens_with_each() -> None:
    seal = Seal(KEY)
    before = seal.cipher(b"salt" * 4, b"header")
    seal.renew((KEY[::-1], KEY))
    after = seal.cipher(b"salt" * 4, b"header")
    for cipher in (before, after):
        found = seal.opening(b"salt" * 4, b"header", cipher.proof)
        assert found is not None
        assert found.open(1, cipher.seal(1, b"secret")) == b"secret"
    assert after.proof == Seal(KEY[::-1]).cipher(b"salt" * 4, b"header").proof
    assert [seal.is_newest(cipher) for cipher in (before, after)] == [False, True]
    seal.renew((KEY[::-1],))
    assert seal.opening(b"salt" * 4, b"header", before.proof) is None


def test_a_seal_knows_which_keys_are_needed() -> None:
    newest, middle, oldest = (bytes([number]) * KEY_BYTES for number in range(3))
    seal = Seal(newest, older=(middle, oldest))
    assert seal.used() == (newest,)
    made = Seal(oldest).cipher(b"salt" * 4, b"header")
    assert seal.opening(b"salt" * 4, b"header", b"x" * 8) is None
    assert seal.used() == (newest,)
    assert seal.opening(b"salt" * 4, b"header", made.proof) is not None
    assert seal.used() == (newest, oldest)
