import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.protocol.framing import ALIVE, FrameSplitter, FrameTooLargeError, length_prefix


def framed(*frames: bytes) -> bytes:
    return b"".join(length_prefix(frame) + frame for frame in frames)


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 30), max_size=40))
def test_however_the_bytes_come_the_frames_are_the_same(
    frames: list[bytes], cuts: list[int]
) -> None:
    splitter, data, found = FrameSplitter(40), framed(*frames), []
    for cut in [*cuts, len(data)]:
        found += splitter.feed(data[:cut])
        data = data[cut:]
    assert found == [frame for frame in frames if frame]


def test_a_frame_without_bytes_is_not_given() -> None:
    assert FrameSplitter(10).feed(ALIVE + framed(b"a") + ALIVE) == [b"a"]


@pytest.mark.parametrize("length", [11, 2**31, 2**32 - 1])
def test_too_large_a_frame_is_refused_before_it_comes(length: int) -> None:
    with pytest.raises(FrameTooLargeError):
        FrameSplitter(10).feed(length.to_bytes(4, "big"))


def test_the_largest_frame_is_not_refused() -> None:
    assert FrameSplitter(10).feed(framed(b"x" * 10)) == [b"x" * 10]


def test_what_is_given_does_not_change_with_the_buffer_it_was_read_into() -> None:
    buffer = bytearray(framed(b"one", b"two")[:-1])
    splitter = FrameSplitter(10)
    frames = splitter.feed(memoryview(buffer))
    buffer[:] = b"?" * len(buffer)
    assert frames == [b"one"]
    assert splitter.feed(b"o") == [b"two"]
