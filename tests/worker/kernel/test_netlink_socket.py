import struct

import pytest

from worker.kernel.netlink_socket import (
    Message,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
    text,
    u32,
)


def test_attributes_are_read_as_they_were_written() -> None:
    packed = u32(4, 1500) + text(3, "eth0") + nested(18, text(1, "veth"))
    assert attributes(packed) == {
        4: struct.pack("=I", 1500),
        3: b"eth0\0",
        18: text(1, "veth"),
    }


def test_a_cut_or_senseless_attribute_ends_the_reading() -> None:
    assert attributes(attribute(1, b"abcd")[:-1]) == {}
    assert attributes(b"\0\0\0\0") == {}


def test_the_kernel_answers_and_refuses() -> None:
    ask_for_link = struct.pack("=BxHiII", 0, 0, 1, 0, 0)
    with NetlinkSocket() as kernel:
        answer = kernel.get(Message(18, ask_for_link))
        assert attributes(answer, 16)[3] == b"lo\0"
        with pytest.raises(OSError, match="No such device"):
            kernel.get(Message(18, struct.pack("=BxHiII", 0, 0, 2**31 - 1, 0, 0)))
        assert len(kernel.dump(Message(18, ask_for_link))) >= 1
