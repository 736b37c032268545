"""The manager's side of the agents: one session per node, on the manager that leads."""

import asyncio
import logging
import math
import random  # noqa: TID251 - only named as a type
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Final, Never

from common.apart import apart
from common.clock import Clock
from common.codec import encode
from common.errors import NotLeaderError, SwarmdError, UnavailableError
from common.ids import id_source
from common.model.cluster import DEFAULT_HEARTBEAT_SECONDS, Cluster
from common.model.node import Node, NodeDescription, NodeState
from common.model.task import Task
from common.protocol.channel import Channel, ChannelClosedError
from common.protocol.messages import (
    LogLine,
    LogRequest,
    NodeTold,
    Register,
    SessionRefused,
    TaskReport,
)
from manager.dispatcher.certainty import Certainty
from manager.dispatcher.heartbeat import Heartbeats
from manager.dispatcher.pace import Registrations
from manager.dispatcher.reports import node_state, observations, orphans, registration
from manager.dispatcher.sessions import ProtocolError, Session
from manager.dispatcher.writer import Wish, Writer
from manager.store.state import State
from manager.store.store import Store
from manager.store.watch import Changed, Watch, WatchLaggedError

REGISTER_SECONDS_MAX: Final = 10.0
"""How long an agent may take to say who it is."""
GRACE_PERIODS: Final = 3
"""Heartbeat periods of silence after which a node is down."""
JITTER: Final = 0.1
"""Share of the period by which each heartbeat is moved at random, so that nodes do not beat together."""
EXPIRE_SECONDS_MIN: Final = 0.1
"""Between two looks at who is silent: the moments of thousands of nodes come one after the other."""
EXPIRE_SECONDS_MAX: Final = 1.0
"""Between two looks, too: the heartbeat's period, and so the grace, may become shorter at any time."""
ORPHAN_SECONDS: Final = 24 * 3600.0
"""How long after a node went down its tasks are given up."""
LATE_SECONDS: Final = 0.5
"""Who wakes that much too late to look for silent nodes was halted itself."""
SPARE_AGAIN_GRACES: Final = 2
DESCRIPTION_BYTES_MAX: Final = 256 * 1024
"""Of what an agent says of its machine."""
WRITE_AGAIN_SECONDS: Final = 1.0
"""How long after the log did not take it is tried again to write that nodes are down."""
MESSAGE_UNKNOWN: Final = 'Node moved to "unknown" state due to leadership change in cluster'
MESSAGE_DOWN: Final = "heartbeat failure"
MESSAGE_DISCONNECTED: Final = "the node's agent is not connected"
LEADER_CHANGED: Final = "the manager that leads has changed: ask again"
_log = logging.getLogger(__name__)


class Dispatcher:
    """Serves agents while this manager leads: run ``run`` for as long, and ``serve`` for each channel."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        chance: random.Random,
        managers: Callable[[], tuple[str, ...]] = tuple,
        told: Callable[[Node], NodeTold | None] = lambda _: None,
    ) -> None:
        """What stands behind it.

        ``managers`` gives ``host:port`` of every manager, for the agents to know; ``told`` what a node is to be told
        about itself (None: nothing yet), and is asked at each of its heartbeats.
        """
        self._store, self._clock, self._chance = store, clock, chance
        self.managers = managers
        self._told_of = told
        self._new_id = id_source(chance)
        self._writer = Writer(store)
        self._heartbeats = Heartbeats()
        self._certainty = Certainty(store, clock)
        self._registrations = Registrations()
        self._sessions: dict[str, Session] = {}
        self._leads = False
        self._spared_at = -math.inf
        """When silent nodes were last given more time because this manager was halted itself."""

    # ------------------------------------------------------------------------ while this one leads

    async def run(self, ruling: Store | None = None) -> Never:
        """Takes over the nodes, tells sessions what was committed, and finds nodes that are silent.

        ``ruling`` is the store for this reign: what was seen in it is not written in the next one.
        """
        self._heartbeats, self._writer = Heartbeats(), Writer(ruling or self._store)
        self._certainty = Certainty(ruling or self._store, self._clock)
        self._registrations, self._spared_at = Registrations(), -math.inf
        try:
            async with self._store.watch() as watch, asyncio.TaskGroup() as group:
                group.create_task(self._writer.run())
                group.create_task(self._certainty.run())
                group.create_task(self._follow(watch))
                await asyncio.sleep(0)  # the writer runs
                self._leads = True
                group.create_task(self._expire())
                await self._take_over()
        finally:
            self._leads = False
            for session in self._sessions.values():
                session.end()
        raise AssertionError("unreachable")

    async def _take_over(self) -> None:
        """Nobody knows how the nodes fare until they come: they get twice the time before they are down.

        One whose agent had gone already when another manager led gets the usual time.
        """
        now, found = self._clock.monotonic(), []
        for node in self._store.state.nodes.values():
            if node.id in self._sessions:
                continue
            if node.status.state is NodeState.DOWN:
                self._heartbeats.expect(node.id, now + ORPHAN_SECONDS)
            elif node.status.state is NodeState.DISCONNECTED:
                self._heartbeats.expect(node.id, now + self._grace_seconds())
            else:
                self._heartbeats.expect(node.id, now + 2 * self._grace_seconds())
                found.append(node_state(node.id, NodeState.UNKNOWN, MESSAGE_UNKNOWN))
        try:
            await self._writer.write(found)
        except NotLeaderError:
            raise
        except UnavailableError as error:
            _log.warning("nodes are not marked as unknown: %s", error)

    async def _follow(self, watch: Watch) -> Never:
        while True:
            try:
                for committed in await watch.take():
                    for item in committed.changed:
                        self._note(item)
            except WatchLaggedError:
                for session in self._sessions.values():
                    session.touch_all()

    def _note(self, item: Changed) -> None:
        seen = item.new or item.old
        if isinstance(seen, Task):
            session = self._sessions.get(seen.node_id)
            if session is not None:
                session.touch((seen.id,))
        elif isinstance(seen, Node):
            self._note_node(seen, is_gone=item.new is None)
        elif isinstance(seen, Cluster):
            self.tell_nodes(self._sessions)

    def _note_node(self, node: Node, *, is_gone: bool) -> None:
        if is_gone:
            self._heartbeats.forget(node.id)
            self._registrations.forget(node.id)
        session = self._sessions.get(node.id)
        if session is not None and is_gone:
            session.end()
        elif session is not None:
            session.tell_node()

    def tell_nodes(self, node_ids: Iterable[str]) -> None:
        """What these nodes are told about themselves may have changed: those that are here learn of it now."""
        for node_id in node_ids:
            session = self._sessions.get(node_id)
            if session is not None:
                session.tell_node()

    async def _expire(self) -> Never:
        """Looks at silent nodes when the first of them is due, and now and then."""
        due = self._clock.monotonic()
        while True:
            now = self._clock.monotonic()
            if now - due >= LATE_SECONDS:
                self._spare_silent_nodes(now, now - due)
            await self._lose_all(self._heartbeats.overdue(now))
            next_at = self._heartbeats.next_at()
            wait = EXPIRE_SECONDS_MAX if next_at is None else next_at - self._clock.monotonic()
            wait = max(EXPIRE_SECONDS_MIN, min(wait, EXPIRE_SECONDS_MAX))
            due = self._clock.monotonic() + wait
            await self._clock.sleep(wait)

    def _spare_silent_nodes(self, now: float, late: float) -> None:
        """This manager was halted (or has no processor): what came meanwhile is read before any node is down.

        Agents may have given it up as well, and need the time to come back. That happens once within two graces, so
        that a node which is down is found even on a machine that is always late.
        """
        grace = self._grace_seconds()
        if now - self._spared_at < SPARE_AGAIN_GRACES * grace:
            return
        self._spared_at = now
        spared = self._heartbeats.spare(now + grace)
        _log.warning("this manager was halted for %.1f s: %d nodes get more time", late, spared)

    async def _lose_all(self, node_ids: Sequence[str]) -> None:
        wishes: list[Wish] = []
        for node_id in node_ids:
            wishes.extend(self._lose(node_id))
        try:
            await self._writer.write(wishes)
        except NotLeaderError:
            raise
        except UnavailableError as error:
            _log.warning("%d silent nodes are not marked as down yet: %s", len(node_ids), error)
            again_at = self._clock.monotonic() + WRITE_AGAIN_SECONDS
            for node_id in node_ids:
                if node_id not in self._sessions:
                    self._heartbeats.expect(node_id, again_at)

    def _lose(self, node_id: str) -> list[Wish]:
        """A node was silent for too long: it is down, and a day later its tasks are given up."""
        node = self._store.state.nodes.get(node_id)
        if node is None:
            return []
        if node.status.state is NodeState.DOWN:
            tasks = self._store.state.tasks_of_node(node_id)
            return orphans(node_id, tasks, self._clock.now())
        _log.warning("node %s is down: it has not been heard in time", node_id)
        session = self._sessions.pop(node_id, None)
        if session is not None:
            session.end()
        self._heartbeats.expect(node_id, self._clock.monotonic() + ORPHAN_SECONDS)
        return [node_state(node_id, NodeState.DOWN, MESSAGE_DOWN)]

    def _grace_seconds(self) -> float:
        return GRACE_PERIODS * self._period_seconds()

    def _period_seconds(self) -> float:
        cluster = self._store.state.cluster()
        if cluster is None:
            return DEFAULT_HEARTBEAT_SECONDS
        return cluster.spec.dispatcher.heartbeat_period_seconds

    # ---------------------------------------------------------------------------------- one agent

    async def serve(self, channel: Channel, address: str = "", node_id: str = "") -> None:
        """Serves one agent until its channel ends. ``address`` is where it connects from, when that is known.

        ``node_id`` is whose certificate it has shown; "": it needs none, being in this process.
        """
        try:
            await self._serve(channel, address, node_id)
        finally:
            channel.close()

    async def _serve(self, channel: Channel, address: str, node_id: str) -> None:
        register = await self._first_message(channel)
        if register is None:
            return
        refusal = await self._refusal(register, node_id)
        if refusal is not None:
            _log.info("node %s is refused: %s", register.node_id, refusal.reason)
            await channel.send(refusal)
            return
        session = Session(register, self._new_id(), channel, self, self._clock)
        before = self._sessions.get(session.node_id)
        if before is not None:
            before.end()
        self._sessions[session.node_id] = session
        self.heard(session)
        try:
            await self._register(session.node_id, register, address)
            await apart(session.run())
        except* SwarmdError as errors:
            _log.info("the session of node %s ended: %s", session.node_id, errors.exceptions[0])
            if errors.subgroup(ProtocolError) is not None:
                self._registrations.exhaust(session.node_id, self._clock.monotonic())
        finally:
            is_current = self._sessions.get(session.node_id) is session
            if is_current:
                del self._sessions[session.node_id]
        if is_current and self._leads:
            await self._disconnected(session.node_id)

    async def _register(self, node_id: str, register: Register, address: str) -> None:
        """Returns once the node is known to be here, by an entry of this reign or since it was known already."""
        wish = registration(node_id, register.description, address)
        is_known = wish.change(self._store.state) is None
        await self._writer.write([wish])
        if is_known:
            await self._certainty.wait()

    async def _first_message(self, channel: Channel) -> Register | None:
        message = None
        async with asyncio.TaskGroup() as group:
            alarm = group.create_task(self._close_later(channel))
            try:
                message = await channel.receive()
            except ChannelClosedError:
                _log.info("a channel ended before its agent said who it is")
            alarm.cancel()
        return message if isinstance(message, Register) else None

    async def _close_later(self, channel: Channel) -> None:
        await self._clock.sleep(REGISTER_SECONDS_MAX)
        channel.close()

    async def _refusal(self, register: Register, node_id: str) -> SessionRefused | None:
        """Why an agent is not served. That its node is not in the list counts only once this surely leads."""
        if node_id not in ("", register.node_id):
            return SessionRefused(reason=f"the certificate is that of node {node_id}")
        if self._leads and register.node_id not in self._store.state.nodes:
            try:
                await self._store.up_to_date()
            except UnavailableError as error:
                return SessionRefused(reason=error.message)
        if not self._leads:
            return SessionRefused(reason="this manager does not lead")
        if register.node_id not in self._store.state.nodes:
            reason = f"node {register.node_id} is not part of this swarm"
            return SessionRefused(reason=reason, is_final=True)
        return self._excess(register)

    def _excess(self, register: Register) -> SessionRefused | None:
        """Why an agent is not served now because of how much it says or asks for."""
        if len(encode(register.description)) > DESCRIPTION_BYTES_MAX:
            return SessionRefused(reason="the description of the node is too large")
        if not self._registrations.admit(register.node_id, self._clock.monotonic()):
            return SessionRefused(reason="the node opens too many sessions: it must wait")
        return None

    async def _disconnected(self, node_id: str) -> None:
        """The channel is gone: the node may come back within its grace."""
        self._heartbeats.expect(node_id, self._clock.monotonic() + self._grace_seconds())
        try:
            await self._writer.write(
                [node_state(node_id, NodeState.DISCONNECTED, MESSAGE_DISCONNECTED)]
            )
        except SwarmdError as error:
            _log.info("node %s is not marked as disconnected: %s", node_id, error)

    # -------------------------------------------------------------------------------- for sessions

    @property
    def state(self) -> State:
        """The store's tables."""
        return self._store.state

    def heard(self, session: Session) -> None:
        """The agent said something: it lives."""
        if self._sessions.get(session.node_id) is session:
            until = self._clock.monotonic() + self._grace_seconds()
            self._heartbeats.expect(session.node_id, until)

    def told(self, node_id: str) -> NodeTold | None:
        """What a node is to know about itself."""
        node = self._store.state.nodes.get(node_id)
        return None if node is None else self._told_of(node)

    def when_sure(self, do: Callable[[], None]) -> None:
        """Does it once it is sure that this manager led when this was called; never if it did not."""
        self._certainty.ask(do)

    def next_period_seconds(self) -> float:
        """The time within which the next heartbeat is due."""
        return self._period_seconds() * (1 + self._chance.uniform(-JITTER, JITTER))

    async def observe(self, node_id: str, reports: Sequence[TaskReport]) -> None:
        """Returns once the reports are committed."""
        await self._writer.write(observations(node_id, reports))

    async def redescribe(self, session: Session, description: NodeDescription) -> None:
        """Returns once the description is committed."""
        if len(encode(description)) > DESCRIPTION_BYTES_MAX:
            raise ProtocolError("the description of the node is too large")
        await self._writer.write([registration(session.node_id, description, "")])

    # ---------------------------------------------------------------------------------------- logs

    def ask_to_dial_back(self, node_id: str, request_id: str) -> None:
        """Has a node's agent open a stream of bytes to this manager.

        Raises:
            NotLeaderError: this manager does not lead: another one has the sessions.
            UnavailableError: the node's agent is not connected, or of a release that does not know how.
        """
        self._session_of(node_id).ask_to_dial_back(request_id)

    def _session_of(self, node_id: str) -> Session:
        if not self._leads:
            raise NotLeaderError(LEADER_CHANGED)
        session = self._sessions.get(node_id)
        if session is None:
            raise UnavailableError(f"node {node_id} is not available")
        return session

    async def read_logs(
        self, node_id: str, request: LogRequest
    ) -> AsyncGenerator[tuple[LogLine, ...], None]:
        """Yields the lines that a node's agent answers, as fast as they are taken.

        Raises:
            NotLeaderError: this manager does not lead (any more): another one has the sessions.
            UnavailableError: the node's agent is not or no longer connected, or could not read a log to its end.
        """
        session = self._session_of(node_id)
        stream = session.open_log(request)
        try:
            while lines := await stream.take():
                yield lines
        except UnavailableError:
            if self._leads:
                raise
            raise NotLeaderError(LEADER_CHANGED) from None
        finally:
            session.close_log(stream)
