import random
from dataclasses import asdict
from typing import get_args

import pytest

from common.codec import CodecError
from manager.raft.log import ENTRY_BYTES_MAX
from manager.raft.messages import (
    FRAME_BYTES_MAX,
    Append,
    Appended,
    AskReadIndex,
    AskRemove,
    AskVote,
    Forward,
    Forwarded,
    Message,
    ReadIndex,
    Removed,
    SnapshotOffer,
    SnapshotPart,
    SnapshotWanted,
    TakeOver,
    Vote,
    pack,
    unpack,
)

APPEND = Append(
    term=3,
    previous_index=7,
    previous_term=2,
    commit=6,
    round=9,
    entries=[(b"a", 8, 2), (b"b", 9, 3)],
)
EXAMPLES: list[Message] = [
    APPEND,
    Appended(term=3, match=9, round=9, rejected=4),
    AskVote(term=4, last_index=9, last_term=3, pre=True, forced=True),
    Vote(term=4, granted=True, pre=True),
    TakeOver(term=4),
    SnapshotOffer(
        term=4,
        index=90,
        index_term=3,
        parts=2,
        size_bytes=1000,
        digest=b"d",
        configuration=b"c",
        round=5,
    ),
    SnapshotWanted(term=4, index=90, part=1, round=5),
    SnapshotPart(term=4, index=90, number=1, data=b"data"),
    Removed(member_id="m1"),
    Forward(number=1, request_id=b"r" * 16, entry=b"entry", index_max=100),
    Forwarded(number=1, index=5, answer=b"answer", failure="NotLeaderError", text="no"),
    AskReadIndex(number=3),
    ReadIndex(number=3, index=8),
    AskRemove(number=4, member_id="m1", force=True),
]


def test_there_is_an_example_of_every_message() -> None:
    assert {type(example) for example in EXAMPLES} == set(get_args(Message))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_what_is_packed_comes_back(message: Message) -> None:
    assert asdict(unpack(pack(message))) == asdict(message)


def test_the_largest_entry_fits_a_frame() -> None:
    entry = random.Random(1).randbytes(ENTRY_BYTES_MAX)
    forward = Forward(number=2**60, request_id=b"r" * 16, entry=entry, index_max=2**60)
    append = Append(
        term=2**60,
        previous_index=2**60,
        previous_term=2**60,
        commit=2**60,
        round=2**60,
        entries=[(b"\0" + b"r" * 16 + entry, 2**60, 2**60)],
    )
    assert max(len(pack(forward)), len(pack(append))) <= FRAME_BYTES_MAX


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"not msgpack at all",
        pack(APPEND)[:-1],
        pack(APPEND).replace(b"\xc4\x01a", b"\xa1\x61"),
        pack(TakeOver(term=1)).replace(b"TakeOver", b"TakeOved"),
        b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00.",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(CodecError):
        unpack(data)
