"""The keys that let go of a container."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.engine_api.detach_keys import DetachKeys, detach_sequence
from common.errors import InvalidInputError

SEQUENCES = {
    "": b"\x10\x11",
    "ctrl-p,ctrl-q": b"\x10\x11",
    "ctrl-a": b"\x01",
    "ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_": b"\x00\x1b\x1c\x1d\x1e\x1f",
    "a,B,ctrl-z": b"aB\x1a",
}


@pytest.mark.parametrize("text", SEQUENCES)
def test_keys_have_bytes(text: str) -> None:
    assert detach_sequence(text) == SEQUENCES[text]


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ü", "ü", "a,,b", "ctrl-p q", "ctrl-P"])
def test_other_keys_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="Invalid escape keys"):
        detach_sequence(text)


CASES: dict[str, tuple[list[bytes], bytes, bool]] = {
    "input passes": ([b"ls\n"], b"ls\n", False),
    "the sequence in one piece": ([b"ls\x10\x11more"], b"ls", True),
    "the sequence in two pieces": ([b"ls\x10", b"\x11"], b"ls", True),
    "a beginning that goes on otherwise is given back": ([b"\x10", b"a"], b"\x10a", False),
    "a beginning within a beginning": ([b"\x10\x10\x11"], b"\x10", True),
    "the other way round": ([b"\x11\x10"], b"\x11", False),
}


@pytest.mark.parametrize("name", CASES)
def test_finds_the_sequence(name: str) -> None:
    pieces, passed, detached = CASES[name]
    keys = DetachKeys(detach_sequence(""))
    results = [keys.take(piece) for piece in pieces]
    assert b"".join(part for part, _ in results) == passed
    assert results[-1][1] is detached


@given(st.lists(st.binary(max_size=8)))
def test_without_the_sequence_nothing_is_lost(pieces: list[bytes]) -> None:
    keys = DetachKeys(b"\x00\x01")
    passed = b""
    for piece in pieces:
        part, detached = keys.take(piece)
        passed += part
        if detached:
            assert b"".join(pieces).startswith(passed + b"\x00\x01")
            return
    assert passed + keys.rest() == b"".join(pieces)
