"""Links over real TLS on the loopback."""

import asyncio
import logging
import pickle
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typing_extensions import override

import manager.raft.tls_links as module
from common.clock import SystemClock
from common.errors import SwarmdError
from common.model.node import Role
from common.pki.identity import PeerIdentity
from common.pki.tls import Tls
from common.protocol.stream import FramedStream
from common.protocol.upgrade import Door, UpgradeRefusedError, dial
from manager.listener import ClusterListener
from manager.raft.links import LINK_BUFFER_BYTES_MAX, Links
from manager.raft.messages import FRAME_BYTES_MAX, AskReadIndex, Message, ReadIndex, Removed, pack
from manager.raft.peers import Peer, RaftStatus
from manager.raft.tls_links import BOUNDS, FROM, PROTOCOL, TO, TlsLinks
from tests.support.pki import CLUSTER_ID, DECADES, files_of, identity, root_of
from tests.support.raft_status import status_of
from tests.support.tls_streams import client_of

A, B, C = "a" * 16, "b" * 16, "c" * 16


@dataclass
class Member:
    """One member: its listener, its links, and what it has heard."""

    member_id: str
    links: TlsLinks
    listener: ClusterListener
    members: list[Peer] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    removed_nodes: set[str] = field(default_factory=set)
    heard: list[tuple[str, Message]] = field(default_factory=list)
    changes: list[tuple[str, bool]] = field(default_factory=list)
    bell: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.port}"

    def start(self) -> None:
        links: Links = self.links
        links.start(self._take, self._changed)

    def _take(self, member_id: str, message: Message) -> None:
        self.heard.append((member_id, message))
        self.bell.set()

    def _changed(self, member_id: str) -> None:
        self.changes.append((member_id, self.links.is_connected(member_id)))
        self.bell.set()

    def status(self) -> RaftStatus:
        return status_of(
            Peer(member_id=self.member_id, node_id=f"node-{self.member_id[0]}", address=""),
            members=tuple(self.members),
            removed=frozenset(self.removed),
            removed_nodes=frozenset(self.removed_nodes),
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.bell.clear()
                await self.bell.wait()


@asynccontextmanager
async def member(directory: Path, member_id: str, port: int = 0) -> AsyncIterator[Member]:
    node_id = f"node-{member_id[0]}"
    files = files_of(directory, identity(node_id))
    made: list[Member] = []

    def status() -> RaftStatus:
        return made[0].status()

    links = TlsLinks(
        Peer(member_id=member_id, node_id=node_id, address=""),
        CLUSTER_ID,
        Tls(files).client,
        status,
        clock=SystemClock(),
        chance=random.Random(member_id),
    )
    listener = ClusterListener(f"127.0.0.1:{port}", Tls(files).server, CLUSTER_ID, [links.route()])
    async with listener:
        made.append(Member(member_id, links, listener))
        made[0].start()
        try:
            yield made[0]
        finally:
            await links.stop()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Member, Member]]:
    async with member(tmp_path, A) as one, member(tmp_path, B) as other:
        yield one, other


opened: list[FramedStream] = []
"""By the test itself."""


@pytest.fixture(autouse=True)
async def closing() -> AsyncIterator[None]:
    yield
    for stream in opened:
        stream.abort("the test is over")
    for stream in opened:
        await stream.until_ended()
    opened.clear()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DIAL_AGAIN_SECONDS", 0.005)
    monkeypatch.setattr(module, "REFUSED_AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(module, "SURPLUS_SECONDS", 0.02)
    monkeypatch.setattr(module, "LOOK_AGAIN_SECONDS", 0.02)


async def until(holds: Callable[[], bool]) -> None:
    """For what rings no bell."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.005)


async def linked(one: Member, other: Member) -> None:
    one.links.set_peers({other.member_id: other.address})
    await one.until(lambda: one.links.is_connected(other.member_id))
    await other.until(lambda: other.links.is_connected(one.member_id))


async def test_a_link_carries_messages_both_ways(pair: tuple[Member, Member]) -> None:
    one, other = pair
    assert not one.links.send(B, AskReadIndex(number=0))
    await linked(one, other)
    for number in range(100):
        assert one.links.send(B, AskReadIndex(number=number))
    assert other.links.send(A, ReadIndex(number=7, index=9))
    await other.until(lambda: len(other.heard) == 100)
    await one.until(lambda: len(one.heard) == 1)
    assert other.heard == [(A, AskReadIndex(number=number)) for number in range(100)]
    assert one.heard == [(B, ReadIndex(number=7, index=9))]
    assert (one.changes, other.changes) == ([(B, True)], [(A, True)])


async def test_nobody_is_dialled_until_told(pair: tuple[Member, Member]) -> None:
    one, other = pair
    await linked(one, other)
    other.links.set_peers({})
    one.links.set_peers({})
    assert one.links.is_connected(B)
    assert not one.links.is_connected(C)


def streams_of(one: Member, other: Member) -> list[int]:
    return [len(m.links._links[p].streams) for m, p in ((one, B), (other, A))]


async def test_two_that_dial_each_other_end_with_one_connection(
    pair: tuple[Member, Member],
) -> None:
    one, other = pair
    one.links.set_peers({B: other.address})
    other.links.set_peers({A: one.address})
    await one.until(lambda: one.links.is_connected(B))
    await other.until(lambda: other.links.is_connected(A))
    await asyncio.sleep(0.1)
    await until(lambda: streams_of(one, other) == [1, 1])
    assert one.links.send(B, AskReadIndex(number=1))
    assert other.links.send(A, AskReadIndex(number=2))
    await one.until(lambda: len(one.heard) == 1)
    await other.until(lambda: len(other.heard) == 1)
    assert (B, False) not in one.changes
    assert (A, False) not in other.changes


async def test_a_lost_link_is_told_and_made_again(pair: tuple[Member, Member]) -> None:
    one, other = pair
    await linked(one, other)
    other.links._links[A].current.abort("the cable is pulled")  # type: ignore[union-attr]
    await one.until(lambda: one.changes == [(B, True), (B, False), (B, True)])


async def test_a_member_is_dialled_until_it_is_there(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(member(tmp_path, A))
        async with member(tmp_path, B) as other:
            port = other.listener.port
        one.links.set_peers({B: f"127.0.0.1:{port}"})
        await asyncio.sleep(0.05)
        assert not one.links.is_connected(B)
        other = await stack.enter_async_context(member(tmp_path, B, port))
        await one.until(lambda: one.links.is_connected(B))
        await other.until(lambda: other.links.is_connected(A))


async def test_a_member_that_starts_again_takes_its_own_place(tmp_path: Path) -> None:
    """The other side does not have to notice the end of the old connection first."""
    async with member(tmp_path, A) as one:
        old = await dialled(one, client_of(tmp_path, identity("node-b")), B)
        await one.until(lambda: one.links.is_connected(B))
        got: list[bytes] = []
        await dialled(one, client_of(tmp_path, identity("node-b")), B, reads=got.append)
        assert (await old.until_ended()) != "closed"
        assert one.links.send(B, AskReadIndex(number=1))
        await until(lambda: bool(got))
        assert got == [pack(AskReadIndex(number=1))]
        assert (B, False) not in one.changes


# ---------------------------------------------------------------------------- who is not listened to


async def dialled(
    one: Member,
    context: ssl.SSLContext,
    sender: str,
    to: str = "",
    reads: Callable[[bytes], None] | None = lambda _: None,
) -> FramedStream:
    door = Door(
        address=one.address,
        path="/raft",
        protocol=PROTOCOL,
        headers={FROM: sender, TO: to or one.member_id},
    )
    stream = await dial(door, context, BOUNDS, lambda peer: None)
    opened.append(stream)
    if reads is not None:
        stream.attach(reads, ended=lambda _: None)
    return stream


LISTED = [
    Peer(member_id=A, node_id="node-a", address=""),
    Peer(member_id=B, node_id="node-b", address=""),
]
MANAGER = identity("node-b")
REFUSED: dict[str, tuple[PeerIdentity | None, str, str, int]] = {
    "no certificate": (None, B, A, 401),
    "a worker": (identity("node-b", Role.WORKER), B, A, 403),
    "a manager of another cluster": (identity("node-b", cluster_id="cluster2"), B, A, 403),
    "another node than the member's": (identity("node-c"), B, A, 403),
    "a made-up member of a node whose member was removed": (identity("node-c"), "e" * 16, A, 403),
    "this member itself": (identity("node-a"), A, A, 409),
    "for a member that was here before": (MANAGER, B, "d" * 16, 409),
    "removed": (MANAGER, C, A, 410),
    "no id": (MANAGER, "", A, 400),
    "an id that is none": (MANAGER, "B" * 16, A, 400),
}


@pytest.mark.parametrize(("who", "sender", "to", "status"), REFUSED.values(), ids=REFUSED)
async def test_refuses(
    tmp_path: Path, who: PeerIdentity | None, sender: str, to: str, status: int
) -> None:
    async with member(tmp_path, A) as one:
        one.members, one.removed, one.removed_nodes = LISTED, {C}, {"node-c"}
        with pytest.raises(UpgradeRefusedError) as told:
            await dialled(one, client_of(tmp_path, who), sender, to)
        assert told.value.status == status
        assert not one.links.is_connected(sender)


async def test_another_root_does_not_even_ask(tmp_path: Path) -> None:
    async with member(tmp_path, A) as one:
        with pytest.raises((OSError, SwarmdError)) as told:
            await dialled(one, client_of(tmp_path, MANAGER, root_of("another")), B)
        assert not isinstance(told.value, UpgradeRefusedError)
        assert one.links._links == {}


async def test_a_member_that_is_not_listed_yet_is_heard_but_not_too_many(tmp_path: Path) -> None:
    async with member(tmp_path, A) as one:
        context = client_of(tmp_path, MANAGER)
        for number in range(module.UNLISTED_MAX):
            await dialled(one, context, f"{number:016x}")
        with pytest.raises(UpgradeRefusedError, match="not listed") as told:
            await dialled(one, context, B)
        assert told.value.status == 503
        one.members = LISTED
        await dialled(one, context, B)


@pytest.mark.parametrize("sender", ["e" * 16, C], ids=["under a made-up id", "under its own"])
async def test_who_is_removed_is_heard_no_longer(tmp_path: Path, sender: str) -> None:
    async with member(tmp_path, A) as one:
        one.members = [*LISTED, Peer(member_id=C, node_id="node-c", address="")]
        stream = await dialled(one, client_of(tmp_path, identity("node-c")), sender)
        await asyncio.sleep(module.LOOK_AGAIN_SECONDS * 3)
        assert one.links.is_connected(sender)
        one.members, one.removed, one.removed_nodes = LISTED, {C}, {"node-c"}
        await asyncio.wait_for(stream.until_ended(), 10)
        await until(lambda: not one.links.is_connected(sender))


class Later(SystemClock):
    @override
    def now(self) -> float:
        return super().now() + 2 * DECADES


async def test_who_shows_a_certificate_that_has_run_out_meanwhile_is_heard_no_longer(
    tmp_path: Path,
) -> None:
    async with member(tmp_path, A) as one:
        one.members = LISTED
        stream = await dialled(one, client_of(tmp_path, MANAGER), B)
        await one.until(lambda: one.links.is_connected(B))
        one.links._clock = Later()
        assert "run out" not in await asyncio.wait_for(stream.until_ended(), 10)  # it is not told
        await until(lambda: not one.links.is_connected(B))


async def test_a_link_is_dialled_anew_with_what_is_shown_and_trusted_now(
    pair: tuple[Member, Member],
) -> None:
    one, other = pair
    await linked(one, other)
    before = one.links._links[B].streams[True]
    one.links.dial_anew()
    await one.until(lambda: one.changes[-2:] == [(B, False), (B, True)])
    assert one.links._links[B].streams[True] is not before
    await other.until(lambda: other.links.is_connected(A))
    assert one.links.send(B, AskReadIndex(number=1))
    await other.until(lambda: len(other.heard) == 1)


async def test_before_it_starts_nobody_is_answered(tmp_path: Path) -> None:
    async with member(tmp_path, A) as one:
        await one.links.stop()
        with pytest.raises(UpgradeRefusedError, match="takes no part") as told:
            await dialled(one, client_of(tmp_path, MANAGER), B)
        assert told.value.status == 503


async def test_a_removed_member_is_told_so(pair: tuple[Member, Member]) -> None:
    one, other = pair
    other.removed = {A}
    one.links.set_peers({B: other.address})
    await one.until(lambda: bool(one.heard))
    assert one.heard[0] == (B, Removed(member_id=A))


async def test_a_member_does_not_talk_to_another_node_in_the_place_of_its_peer(
    pair: tuple[Member, Member], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = pair
    one.members = [Peer(member_id=B, node_id="node-x", address=other.address)]
    one.links.set_peers({B: other.address})
    await until(lambda: "cannot be reached" in caplog.text)
    await asyncio.sleep(0.05)
    assert not one.links.is_connected(B)
    assert not other.links.is_connected(A)
    assert caplog.text.count("cannot be reached") == 1  # and not once per attempt


# ----------------------------------------------------------------------------------- what is no message


class Bomb:
    """Does something when a pickle of it is read."""

    @override
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (bombs.append, ("boom",))


bombs: list[str] = []

FRAMES: dict[str, Callable[[], bytes]] = {
    "a pickle": lambda: pickle.dumps(Bomb()),
    "noise": lambda: random.Random(1).randbytes(250),
    "a kind that nobody knows": lambda: b"\x92\xa6Nobody\x01",
    "an append of something else": lambda: b"\x97\xa6Append\x01\x01\x01\x01\x01\x91\xa1x",
}


@pytest.mark.parametrize("frame_of", FRAMES.values(), ids=FRAMES)
async def test_what_is_no_message_ends_the_link_and_is_told_once(
    tmp_path: Path, frame_of: Callable[[], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    bombs.clear()
    caplog.set_level(logging.WARNING)
    async with member(tmp_path, A) as one:
        for _ in range(3):
            stream = await dialled(one, client_of(tmp_path, MANAGER), B)
            stream.send(frame_of())
            stream.send(pack(AskReadIndex(number=1)))
            await stream.until_ended()
        await one.until(lambda: not one.links.is_connected(B))
    assert one.heard == []
    assert bombs == []
    assert caplog.text.count("a manager sent what is no message") == 1


async def test_too_large_a_frame_ends_the_link(tmp_path: Path) -> None:
    async with member(tmp_path, A) as one:
        stream = await dialled(one, client_of(tmp_path, MANAGER), B)
        assert stream._transport is not None
        stream._transport.write((FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
        await stream.until_ended()
        await one.until(lambda: not one.links.is_connected(B))


async def test_a_slow_reader_never_costs_more_than_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with member(tmp_path, A) as one:
        stream = await dialled(one, client_of(tmp_path, MANAGER), B, reads=None)
        await one.until(lambda: one.links.is_connected(B))
        link = one.links._links[B].current
        assert link is not None
        message = Removed(member_id="x" * 100_000)
        refused = 0
        for number in range(1000):
            refused += not one.links.send(B, message)
            if number % 10 == 0:
                await asyncio.sleep(0)
        assert refused > 500
        assert link.waiting_bytes <= LINK_BUFFER_BYTES_MAX
        assert stream._transport is not None
        assert link._transport is not None
        assert link._transport.get_write_buffer_size() < 4 * 2**20
        stream.abort("enough")
