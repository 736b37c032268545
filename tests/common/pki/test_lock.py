import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInputError
from common.pki.lock import KEY_BYTES, Lock, WrongKeyError

ONE, OTHER = Lock(bytes(range(KEY_BYTES))), Lock(bytes(KEY_BYTES))
TEXT = "SWMKEY-1-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def test_a_key_is_written_as_docker_writes_it() -> None:
    assert ONE.text == TEXT
    assert Lock.parse(TEXT) == ONE
    assert Lock.parse(f"  {TEXT}\n") == ONE


@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_every_key_is_read_as_it_was_written(key: bytes) -> None:
    assert Lock.parse(Lock(key).text) == Lock(key)


NO_KEYS = {
    "nothing": "",
    "a join token": "SWMTKN-1-abc-def",
    "another version": TEXT.replace("-1-", "-2-"),
    "too short": TEXT[:-1],
    "too long": TEXT + "AAAA",
    "padded": TEXT + "=",
    "of another alphabet": TEXT[:-1] + "_",
    "with bits that mean nothing": TEXT[:-1] + "9",
    "of another script": TEXT[:-1] + "ä",
    "half a letter of JSON": TEXT[:-1] + "\ud800",
    "endless": TEXT + " " * 1000 + "x",
}


@pytest.mark.parametrize("text", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        Lock.parse(text)
    assert str(refused.value) == "invalid key string"


def test_what_is_sealed_opens_with_its_key_alone() -> None:
    sealed = ONE.seal(b"secret" * 10)
    assert b"secret" not in sealed
    assert ONE.open(sealed) == b"secret" * 10
    assert ONE.seal(b"secret" * 10) != sealed
    for lock, data in ((OTHER, sealed), (ONE, sealed[:-1]), (ONE, b""), (ONE, b"x" + sealed[1:])):
        with pytest.raises(WrongKeyError):
            lock.open(data)


def test_each_use_has_a_key_of_its_own() -> None:
    assert len({ONE.text, ONE.within().text, OTHER.text, OTHER.within().text}) == 4
    assert ONE.passphrase != OTHER.passphrase != ONE.within().passphrase
    assert ONE.within() == Lock(bytes(range(KEY_BYTES))).within()


def test_a_key_does_not_show() -> None:
    assert TEXT[9:] not in repr(ONE)
    assert TEXT[9:] not in f"{ONE}"


def test_two_new_keys_differ() -> None:
    assert Lock.new() != Lock.new()


def test_a_key_of_another_length_is_no_key() -> None:
    with pytest.raises(ValueError, match="a key has 32 bytes, not 3"):
        Lock(b"abc")
