from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.raft.records import (
    SALT_BYTES,
    EntryItem,
    HardState,
    Item,
    JournalDamagedError,
    pack_batch,
    pack_entry,
    pack_hard_state,
    pack_header,
    recover,
    seed_of,
)

NUMBERS = st.integers(0, 2**64 - 1)
ITEMS = st.one_of(
    st.builds(EntryItem, NUMBERS, NUMBERS, st.binary(max_size=200)),
    st.builds(HardState, NUMBERS, NUMBERS, st.text(max_size=30)),
)
BATCHES = st.lists(st.lists(ITEMS, min_size=1, max_size=4).map(tuple), max_size=5).map(tuple)
HEADER = pack_header(b"saltsalt")


def packed(item: Item) -> bytes:
    return pack_entry(item) if isinstance(item, EntryItem) else pack_hard_state(item)


def batch(*items: Item, header: bytes = HEADER) -> bytes:
    return pack_batch([packed(item) for item in items], seed_of(header, "journal"))


ONE = batch(EntryItem(1, 1, b"one"))
TWO = batch(EntryItem(2, 1, b"two"), HardState(1, 1, "me"))
THREE = batch(EntryItem(3, 1, b"three"))


@settings(deadline=None)
@given(BATCHES, st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES))
def test_what_was_packed_is_recovered(batches: tuple[tuple[Item, ...], ...], salt: bytes) -> None:
    header = pack_header(salt)
    data = header + b"".join(batch(*items, header=header) for items in batches)
    recovered = recover(data, "journal")
    assert (recovered.batches, recovered.end, recovered.torn) == (batches, len(data), 0)


def with_each_bit_flipped(data: bytes) -> Iterator[bytes]:
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        yield bytes(damaged)


def test_a_write_torn_anywhere_is_dropped_and_only_it() -> None:
    for kept in range(len(TWO)):
        recovered = recover(HEADER + ONE + TWO[:kept], "journal")
        assert recovered.batches == ((EntryItem(1, 1, b"one"),),)
        assert (recovered.end, recovered.torn) == (len(HEADER + ONE), kept)


def test_any_flipped_bit_before_a_good_batch_is_refused() -> None:
    for damaged in with_each_bit_flipped(TWO):
        with pytest.raises(JournalDamagedError) as refused:
            recover(HEADER + ONE + damaged + THREE, "/var/journal")
        assert f"/var/journal is damaged at byte {len(HEADER + ONE)}" in refused.value.message
        assert f"follow from byte {len(HEADER + ONE + TWO)}" in refused.value.message


def test_any_flipped_bit_in_the_last_batch_is_like_a_torn_write() -> None:
    for damaged in with_each_bit_flipped(TWO):
        recovered = recover(HEADER + ONE + damaged, "journal")
        assert (recovered.batches, recovered.torn) == (((EntryItem(1, 1, b"one"),),), len(TWO))


def test_any_flipped_bit_in_the_header_is_refused() -> None:
    for damaged in with_each_bit_flipped(HEADER):
        with pytest.raises(JournalDamagedError):
            recover(damaged + ONE, "journal")


def test_a_file_without_a_whole_header_is_refused() -> None:
    with pytest.raises(JournalDamagedError, match="is not a journal"):
        recover(HEADER[:-1], "journal")


def test_zeros_at_the_end_are_a_torn_write() -> None:
    assert recover(HEADER + ONE + bytes(4096), "journal").torn == 4096


def test_a_command_cannot_pass_for_a_batch_of_another_journal() -> None:
    foreign = pack_header(b"guessed!")
    bait = batch(EntryItem(9, 9, b"x"), header=foreign)
    torn = batch(EntryItem(2, 1, bait))[:-1]
    assert recover(HEADER + ONE + torn, "journal").torn == len(torn)


def test_an_item_of_a_newer_version_is_refused() -> None:
    with pytest.raises(JournalDamagedError, match="something unknown at byte 28"):
        recover(HEADER + pack_batch([b"?"], seed_of(HEADER, "journal")), "journal")
