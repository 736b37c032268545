import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.raft.records import (
    HEADER_BYTES,
    SECTOR_BYTES,
    Begins,
    EntryItem,
    Follows,
    HardState,
    Header,
    Item,
    JournalDamagedError,
    Position,
    SegmentReader,
    pack_batch,
    pack_header,
    pack_item,
    unpack_header,
)
from manager.raft.seal import Cipher, Seal

NUMBERS = st.integers(0, 2**64 - 1)
POSITIONS = st.builds(Position, NUMBERS, NUMBERS)
ITEMS = st.one_of(
    st.builds(EntryItem, NUMBERS, NUMBERS, st.binary(max_size=200)),
    st.builds(HardState, NUMBERS, NUMBERS, st.text(max_size=30)),
    st.builds(Begins, POSITIONS),
    st.builds(Follows, POSITIONS),
)
BATCHES = st.lists(st.lists(ITEMS, min_size=1, max_size=4), max_size=5)
SEAL = Seal(b"k" * 32)
HEADER, CIPHER = pack_header(Header(3, 100, b"salt" * 4), SEAL)


def batch(number: int, *items: Item, cipher: Cipher = CIPHER) -> bytes:
    return pack_batch([pack_item(item) for item in items], number, cipher)


FIRST = EntryItem(1, 1, b"one")
ONE = batch(0, FIRST)
TWO = batch(1, EntryItem(2, 1, b"two"), HardState(1, 1, "me"))
THREE = batch(2, EntryItem(3, 1, b"three"))
LARGE = batch(1, EntryItem(2, 1, random.Random(1).randbytes(5000)))


def reader(data: bytes) -> SegmentReader:
    return SegmentReader(data, "/var/log-3", CIPHER)


def read(data: bytes) -> tuple[list[list[Item]], int, int]:
    """The batches, the end behind them, and what was torn behind that."""
    found = reader(data)
    return list(found), found.end, found.torn_bytes()


@settings(deadline=None)
@given(BATCHES)
def test_what_was_packed_is_read(batches: list[list[Item]]) -> None:
    data = HEADER + b"".join(batch(number, *items) for number, items in enumerate(batches))
    assert read(data) == (batches, len(data), 0)


def test_nothing_stands_there_in_clear() -> None:
    assert b"secret" not in batch(0, EntryItem(1, 1, b"secret" * 20))


@pytest.mark.parametrize("whole", [TWO, LARGE], ids=["short", "of several sectors"])
def test_a_write_that_ended_anywhere_is_torn_and_only_it(whole: bytes) -> None:
    for kept in range(0, len(whole), 1 if whole is TWO else 37):
        torn = whole[:kept]
        assert read(HEADER + ONE + torn) == ([[FIRST]], len(HEADER + ONE), len(torn.rstrip(b"\0")))


def test_a_write_into_space_allocated_ahead_ends_with_a_sector() -> None:
    start = len(HEADER + ONE)
    whole = HEADER + ONE + LARGE
    for end in range(SECTOR_BYTES, len(whole), SECTOR_BYTES):
        assert read(whole[:end] + bytes(2 * len(LARGE)))[:2] == ([[FIRST]], start)


def test_a_write_of_which_sectors_are_missing_is_torn() -> None:
    start = len(HEADER + ONE)
    whole = HEADER + ONE + LARGE
    for sector in range(start // SECTOR_BYTES, len(whole) // SECTOR_BYTES + 1):
        for padding in (b"", bytes(4096)):
            torn = bytearray(whole)
            begin = max(sector * SECTOR_BYTES, start)
            behind = min((sector + 1) * SECTOR_BYTES, len(whole))
            torn[begin:behind] = bytes(behind - begin)
            assert read(bytes(torn) + padding)[:2] == ([[FIRST]], start)


def test_space_allocated_ahead_is_no_torn_write() -> None:
    assert read(HEADER + ONE + bytes(4096)) == ([[FIRST]], len(HEADER + ONE), 0)


def with_each_bit_flipped(data: bytes) -> Iterator[bytes]:
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        yield bytes(damaged)


def test_any_flipped_bit_before_a_good_batch_is_refused() -> None:
    for damaged in with_each_bit_flipped(TWO):
        with pytest.raises(JournalDamagedError) as refused:
            read(HEADER + ONE + damaged + THREE)
        assert f"/var/log-3 is damaged at byte {len(HEADER + ONE)}" in refused.value.message
        assert f"follow from byte {len(HEADER + ONE + TWO)}" in refused.value.message


@pytest.mark.parametrize("padding", [b"", bytes(4096)], ids=["at the end", "before free space"])
def test_a_flipped_bit_in_the_last_batch_is_no_torn_write(padding: bytes) -> None:
    """No write that was interrupted leaves all sectors, and one of them changed."""
    length = range(8, 12)  # says itself how much should be there: the file may well end too soon
    for place, damaged in enumerate(with_each_bit_flipped(TWO)):
        if place // 8 not in length or padding:
            with pytest.raises(JournalDamagedError, match=f"at byte {len(HEADER + ONE)}"):
                read(HEADER + ONE + damaged + padding)


def test_a_batch_in_another_place_is_refused() -> None:
    with pytest.raises(JournalDamagedError, match="does not open with this manager's key"):
        read(HEADER + ONE + ONE)


def test_more_than_a_batch_can_hold_is_no_torn_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manager.raft.records._BODY_BYTES_POSSIBLE", 3000)
    with pytest.raises(JournalDamagedError, match="does not fit its checksum"):
        read(HEADER + ONE + bytes(600) + b"x" * 3000)


def test_a_segment_before_another_must_be_as_long_as_that_one_says() -> None:
    whole = reader(HEADER + ONE + TWO)
    assert len(list(whole)) == 2
    whole.check_end(len(HEADER + ONE + TWO))
    cut = reader(HEADER + ONE)
    assert len(list(cut)) == 1
    with pytest.raises(JournalDamagedError, match=f"at byte {len(HEADER + ONE)}: .* follows"):
        cut.check_end(len(HEADER + ONE + TWO))


def test_a_header_tells_number_and_size_before() -> None:
    header, cipher = unpack_header(HEADER + ONE, "log", SEAL)
    assert header == Header(3, 100, b"salt" * 4)
    assert cipher.mark == CIPHER.mark


def test_any_flipped_bit_in_the_header_is_refused() -> None:
    for damaged in with_each_bit_flipped(HEADER):
        with pytest.raises(JournalDamagedError, match="log is damaged at byte 0"):
            unpack_header(damaged + ONE, "log", SEAL)


def test_a_file_without_a_whole_header_is_refused() -> None:
    for size in range(HEADER_BYTES):
        with pytest.raises(JournalDamagedError, match="log is damaged at byte 0"):
            unpack_header(HEADER[:size], "log", SEAL)


def test_another_key_is_told_from_damage() -> None:
    with pytest.raises(JournalDamagedError, match="sealed with another key"):
        unpack_header(HEADER, "log", Seal(b"K" * 32))


def test_a_command_cannot_pass_for_a_batch() -> None:
    """Whoever proposes it does not know the key; here it even holds a batch of another segment."""
    _, other = pack_header(Header(3, 100, b"SALT" * 4), SEAL)
    bait = batch(2, EntryItem(9, 9, b"x"), cipher=other)
    torn = batch(1, EntryItem(2, 1, bait))[:-1]
    assert read(HEADER + ONE + torn)[2] == len(torn)


def test_an_item_of_a_newer_version_is_refused() -> None:
    with pytest.raises(JournalDamagedError, match=f"unknown in the record at byte {HEADER_BYTES}"):
        read(HEADER + pack_batch([b"?"], 0, CIPHER))
