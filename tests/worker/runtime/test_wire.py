import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.runtime import wire
from worker.runtime.wire import FRAME_MAX, FrameError, FrameReader, encode_frame

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(plain, max_size=5), st.integers(1, 50))
def test_values_arrive_in_any_pieces(values: list[object], size: int) -> None:
    stream = b"".join(map(encode_frame, values))
    reader = FrameReader()
    arrived = [
        value
        for start in range(0, len(stream), size)
        for value in reader.feed(stream[start : start + size])
    ]
    assert arrived == values


def test_names_of_files_that_are_no_text_arrive() -> None:
    assert FrameReader().feed(encode_frame("a\udcff")) == ["a\udcff"]


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    with pytest.raises(FrameError):
        FrameReader().feed((FRAME_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(FrameError):
        encode_frame(b"x" * (FRAME_MAX + 1))


def test_nonsense_is_refused() -> None:
    with pytest.raises(FrameError):
        FrameReader().feed(b"\0\0\0\x02??")
    with pytest.raises(FrameError):
        encode_frame(object())


SAID_BY_0_1_0 = {
    "SOCKET": "supervisor.sock",
    "READY": b"ready\n",
    "CHECK": "--check",
    "TAKE_OVER": "--resume",
    "HELLO": "hello",
    "REEXEC": "reexec",
    "SHUTDOWN": "shutdown",
}
"""By a supervisor that an upgrade finds: with another word here, all its containers would end."""


def test_an_older_supervisor_is_still_spoken_to() -> None:
    assert {name: getattr(wire, name) for name in SAID_BY_0_1_0} == SAID_BY_0_1_0


def test_no_name_has_two_meanings() -> None:
    """A constant that were defined again further down would change what was said before."""
    tree = ast.parse(Path(wire.__file__).read_text())
    names = [
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    assert len(names) == len(set(names))
