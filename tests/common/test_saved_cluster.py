"""The file of a saved cluster."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.saved_cluster import (
    FORMAT,
    SavedCluster,
    SavedClusterError,
    SavedHead,
    pack_saved,
)
from common.version import VERSION

HEAD = SavedHead(cluster_id="c", index=9, saved_at=1.5, objects={"node": 3})
PARTS = [b"one", b"two" * 100]
WHOLE = b"".join(pack_saved(HEAD, PARTS))


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5))
def test_what_is_read_is_what_was_written(parts: list[bytes]) -> None:
    data = b"".join(pack_saved(HEAD, parts))
    file = SavedCluster(io.BytesIO(data))
    assert (file.head, [*file.parts()], file.bytes) == (HEAD, parts, len(data))


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_any_other_byte_is_noticed(place: int, change: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[place] ^= change
    with pytest.raises(SavedClusterError):
        SavedCluster(io.BytesIO(bytes(damaged))).check()


@given(st.integers(0, len(WHOLE) - 1))
def test_a_missing_end_is_noticed(length: int) -> None:
    with pytest.raises(SavedClusterError):
        SavedCluster(io.BytesIO(WHOLE[:length])).check()


OTHERS: dict[str, tuple[bytes, str]] = {
    "another file": (b"PK" * 50, "this is no saved cluster"),
    "another format": (
        WHOLE[:21] + b"\x09" + WHOLE[22:],
        (
            f"the saved cluster is of format 9, and this version ({VERSION}) reads format {FORMAT} "
            "(use the version that wrote it)"
        ),
    ),
    "a length that cannot be": (
        WHOLE[:22] + b"\xff" * 60,
        "the saved cluster is damaged: a length in it cannot be",
    ),
    "a head that is none": (
        WHOLE[:22] + b"\x00\x00\x00\x01\x05",
        "the saved cluster is damaged: expected an array, found int",
    ),
    "more behind its end": (
        WHOLE + b"x",
        "the saved cluster is damaged: something follows its end",
    ),
}


@pytest.mark.parametrize(("data", "expected"), OTHERS.values(), ids=OTHERS)
def test_says_what_is_wrong(data: bytes, expected: str) -> None:
    with pytest.raises(SavedClusterError) as caught:
        SavedCluster(io.BytesIO(data)).check()
    assert str(caught.value) == expected
