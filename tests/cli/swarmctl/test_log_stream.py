import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.swarmctl.log_stream import StreamError, frames, split_details


def frame(channel: int, payload: bytes) -> bytes:
    return bytes([channel, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=10),
    st.integers(1, 20),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    sent: list[tuple[int, bytes]], size: int
) -> None:
    stream = b"".join(frame(*item) for item in sent)
    assert list(frames(stream[at : at + size] for at in range(0, len(stream), size))) == sent


BROKEN = {
    "plain text": (b"hello world, this is no frame", "not in Docker's stream format"),
    "a huge frame": (b"\x01\0\0\0\xff\xff\xff\xff", "not in Docker's stream format"),
    "cut off": (frame(1, b"whole") + frame(1, b"half a line")[:12], "in the middle of a line"),
    "an error of the daemon": (
        frame(3, b"no such file"),
        "reading the output failed: no such file",
    ),
}


@pytest.mark.parametrize(("stream", "text"), BROKEN.values(), ids=BROKEN)
def test_a_broken_stream_says_so(stream: bytes, text: str) -> None:
    with pytest.raises(StreamError, match=text):
        list(frames([stream]))


LINES = {
    "with details": (
        b"a=1,b=x%20y text of it\n",
        False,
        (b"", {"a": "1", "b": "x y"}, b"text of it\n"),
    ),
    "with a time": (b"2026Z a=1 text\n", True, (b"2026Z", {"a": "1"}, b"text\n")),
    "no details": (b" text\n", False, (b"", {}, b"text\n")),
    "bytes that are no text": (b"a=1 \xff\xfe\n", False, (b"", {"a": "1"}, b"\xff\xfe\n")),
}


@pytest.mark.parametrize(("line", "timestamps", "expected"), LINES.values(), ids=LINES)
def test_splits_details(line: bytes, timestamps: bool, expected: tuple[object, ...]) -> None:
    assert split_details(line, timestamps=timestamps) == expected
