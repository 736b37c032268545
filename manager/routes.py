"""What other nodes ask of a manager beside links and certificates: to be managers, and to be dispatched to."""

import contextlib
import ipaddress
import logging
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from common.apart import apart
from common.clock import Clock
from common.engine_api.http import json_response
from common.engine_json import parse
from common.errors import (
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NoLeaderError,
    NotFoundError,
    SwarmdError,
    UnavailableError,
)
from common.model.node import Role
from common.pki.identity import PeerIdentity
from common.protocol import byte_stream
from common.protocol.byte_stream import ByteStream
from common.protocol.channel import Channel
from common.protocol.tls_channel import MANAGER_END, PROTOCOL, manager_end
from common.protocol.upgrade import accept, host_and_port, serve
from manager.ca.removal import is_removed, removal
from manager.expiry import closed_when_expired
from manager.listener import Access, Caller, ClusterRoute, read_json_body
from manager.logs import wire
from manager.logs.server import answer
from manager.logs.wire import LOGS
from manager.node import Manager
from manager.raft.peers import MEMBER_ID_DIGITS, Peer
from manager.reach.reaching import CALL, REACH, REACHED, TO
from manager.reach.reaching import PROTOCOL as BYTES
from manager.relay import FOR, FROM, PASS_ON, Passage, Relay, join

DISPATCH: Final = "/dispatch"
JOIN: Final = "/raft/join"
LEAVE: Final = "/raft/leave"
MISDIRECTED: Final = 421
"""The status of an answer that names the manager which leads."""
_NODE_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,63}")
_CALL_ID: Final = re.compile(r"[0-9a-z]{1,64}")
_MEMBER_ID: Final = re.compile(f"[0-9a-f]{{{MEMBER_ID_DIGITS}}}")

log = logging.getLogger("swarmd.cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRequest:
    """The body of ``JOIN`` and ``LEAVE``."""

    member_id: str = ""
    address: str = ""
    """``host:port`` of its cluster listener."""


class ManagerRoutes:
    """Serves them; each for the node alone whose certificate asks."""

    def __init__(
        self,
        manager: Manager,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        clock: Clock,
        own_engine: Callable[[ByteStream], Coroutine[Any, Any, None]],
    ) -> None:
        """What they stand on.

        ``spawn`` has sessions go on when aiohttp takes a connection's end for that of its handler; ``own_engine``
        connects a stream with the API of this node.
        """
        self._manager, self._spawn, self._clock = manager, spawn, clock
        self._own_engine = own_engine
        self._relay = Relay(manager.dial, clock)

    def routes(self) -> list[ClusterRoute]:
        """What the cluster listener is to serve."""
        return [
            ClusterRoute(method="POST", path=DISPATCH, access=Access.NODE, handler=self._dispatch),
            ClusterRoute(method="POST", path=REACHED, access=Access.NODE, handler=self._reached),
            ClusterRoute(method="POST", path=REACH, access=Access.MANAGER, handler=self._reach),
            ClusterRoute(method="POST", path=LOGS, access=Access.MANAGER, handler=self._logs),
            ClusterRoute(method="POST", path=JOIN, access=Access.MANAGER, handler=self._join),
            ClusterRoute(method="POST", path=LEAVE, access=Access.MANAGER, handler=self._leave),
        ]

    def vouch(self, peer: PeerIdentity, access: Access) -> None:
        """Refuses, where managers ask, a node that was removed or is a worker by now, whatever its certificate says.

        What any node may ask for tells a removed one so by itself, and for good: else it would ask again and again.
        A node that is not in the list may be one that this manager has not heard of yet. One whose member was removed
        is told so by the route, where it says which member it is: never by what this manager, which may be behind,
        thinks of the node.

        Raises:
            ForbiddenError: it is none.
        """
        if access is not Access.MANAGER:
            return
        state = self._manager.store.state
        node = state.nodes.get(peer.node_id)
        is_gone = is_removed(state.cluster(), peer.node_id)
        if not is_gone and (node is None or node.spec.role is Role.MANAGER):
            return
        status = self._manager.status()
        if peer.node_id not in status.nodes | status.removed_nodes:
            raise ForbiddenError(f"node {peer.node_id} is no manager of this swarm")

    # ------------------------------------------------------------------------------------- agents

    async def _dispatch(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        if not self._manager.leads:
            if PASS_ON not in request.headers:
                return self._misdirected()
            leader = self._manager.leader().address
            return await self._relay.pass_on(request, caller, leader, Passage(path=DISPATCH))
        node_id, address = self._whose_session(request, caller)
        stream = accept(request, PROTOCOL, MANAGER_END)
        self._spawn(self._serve_agent(manager_end(stream), caller, node_id, address))
        return await serve(stream)

    def _whose_session(self, request: web.Request, caller: Caller) -> tuple[str, str]:
        """The node that a session is for, and the address it comes from: as a manager says that passes it on."""
        node_id = request.headers.get(FOR)
        if node_id is None:
            return caller.identity.node_id, caller.address
        self._check_manager(caller)
        if not _NODE_ID.fullmatch(node_id):
            raise InvalidInputError("a session is passed on for no node")
        return node_id, _ip_address(request.headers.get(FROM, ""))

    def _check_manager(self, caller: Caller) -> None:
        """Lets on only managers by the list of nodes, or by the log, of this one that leads.

        ``vouch`` is not enough where a manager speaks for others: it hears those whose member was removed, too, so that
        they can be told.

        Raises:
            ForbiddenError: it is none.
        """
        state, node_id = self._manager.store.state, caller.identity.node_id
        node = state.nodes.get(node_id)
        is_listed = node is not None and node.spec.role is Role.MANAGER
        if (
            caller.identity.role is not Role.MANAGER
            or is_removed(state.cluster(), node_id)
            or not (is_listed or node_id in self._manager.status().nodes)
        ):
            raise ForbiddenError(f"node {node_id} is no manager of this swarm")

    async def _serve_agent(
        self, channel: Channel, caller: Caller, node_id: str, address: str
    ) -> None:
        async with closed_when_expired(channel.close, caller, self._clock):
            try:
                await self._manager.dispatcher.serve(channel, address, node_id)
            except SwarmdError as error:
                log.info("a session has ended", extra={"node": node_id, "reason": error})
            except Exception:
                # Whatever one node may bring about, the others are served on.
                log.exception("a session has failed", extra={"node": node_id})

    async def _reached(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """An agent dials back."""
        call_id = request.headers.get(CALL, "")
        if not _CALL_ID.fullmatch(call_id):
            raise InvalidInputError(f"{CALL} does not say which call is answered")
        if not self._manager.leads:
            if PASS_ON not in request.headers:
                return self._misdirected()
            passage = Passage(
                path=REACHED,
                protocol=BYTES,
                agent_end=byte_stream.BOUNDS,
                manager_end=byte_stream.BOUNDS,
                headers={CALL: call_id},
            )
            leader = self._manager.leader().address
            return await self._relay.pass_on(request, caller, leader, passage)
        node_id, _ = self._whose_session(request, caller)
        self._manager.calls.check(call_id, node_id)
        stream = accept(request, BYTES, byte_stream.BOUNDS)
        self._manager.calls.answer(call_id, node_id, stream)
        async with closed_when_expired(stream.close, caller, self._clock):
            return await serve(stream)
        raise AssertionError("it has returned or raised")

    # ------------------------------------------------------------------------------------ managers

    async def _reach(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Another manager wants to reach the engine of a node."""
        if not self._manager.leads:
            return self._misdirected()
        self._check_manager(caller)
        node_id = request.headers.get(TO, "")
        if not _NODE_ID.fullmatch(node_id):
            raise InvalidInputError(f"{TO} names no node")
        if node_id == self._manager.status().me.node_id:
            ours = accept(request, BYTES, byte_stream.BOUNDS)
            self._spawn(self._own_engine(ByteStream(ours)))
        else:
            theirs = await self._manager.calls.open(node_id)
            try:
                ours = accept(request, BYTES, byte_stream.BOUNDS)
            except SwarmdError:
                theirs.abort("the manager is gone")
                raise
            join(ours, theirs)
        async with closed_when_expired(ours.close, caller, self._clock):
            return await serve(ours)
        raise AssertionError("it has returned or raised")

    async def _logs(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Reads logs for another manager."""
        if not self._manager.leads:
            return self._misdirected()
        self._check_manager(caller)
        stream = accept(request, wire.PROTOCOL, wire.BOUNDS)
        self._spawn(self._answer_logs(wire.leader_end(stream), caller))
        return await serve(stream)

    async def _answer_logs(self, channel: Channel, caller: Caller) -> None:
        async with closed_when_expired(channel.close, caller, self._clock):
            try:
                await apart(answer(channel, self._manager.log_broker))
            except* SwarmdError as errors:
                details = {"node": caller.identity.node_id, "reason": errors.exceptions[0]}
                log.info("a manager reads no more logs", extra=details)

    async def _join(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Adds the caller's manager to the replicated log. Asking again changes nothing."""
        asked = await _member_request(request)
        if not self._manager.leads:
            return self._misdirected()
        host_and_port(asked.address)
        node_id = caller.identity.node_id
        await self._manager.store.up_to_date()
        node = self._manager.store.state.nodes.get(node_id)
        if node is None:
            raise ForbiddenError(f"node {node_id} is not part of this swarm")
        if node.spec.role is not Role.MANAGER:
            raise ForbiddenError(f"node {node_id} is to be a worker, not a manager")
        peer = Peer(member_id=asked.member_id, node_id=node_id, address=asked.address)
        await self._add(peer)
        log.info("a manager has joined", extra={"node": node_id, "address": asked.address})
        members = self._manager.status().members
        return json_response({"Managers": [member.address for member in members]})

    async def _add(self, peer: Peer) -> None:
        """A node has one member: should it ask for another one, it has given up the one before."""
        status = self._manager.status()
        if peer.member_id in status.removed:
            raise ConflictError(f"manager {peer.member_id} was removed from this swarm")
        try:
            for before in status.members:
                if before.node_id == peer.node_id and before.member_id != peer.member_id:
                    await self._manager.log.remove(before.member_id)
            await self._manager.log.add(peer)
        except ConflictError as error:
            raise UnavailableError(error.message, hint=error.hint) from error

    async def _leave(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Undoes the caller's joining: takes its manager out of the log, and its node out of the list."""
        asked = await _member_request(request)
        if not self._manager.leads:
            return self._misdirected()
        node_id = caller.identity.node_id
        for peer in self._manager.status().members:
            if peer.member_id == asked.member_id:
                if peer.node_id != node_id:
                    raise ForbiddenError(f"manager {peer.member_id} is not on node {node_id}")
                await self._manager.log.remove(peer.member_id)
        with contextlib.suppress(NotFoundError):
            cluster, now = self._manager.store.state.cluster(), self._clock.now()
            await self._manager.store.propose(removal(cluster, node_id, now))
        log.info("a node does not join after all", extra={"node": node_id})
        return json_response({})

    def _misdirected(self) -> web.Response:
        leader = self._manager.log.leader
        if leader is None:
            raise NoLeaderError
        return json_response(
            {"message": f"the manager at {leader.address} leads", "leader": leader.address},
            status=MISDIRECTED,
        )


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text)) if text else ""
    except ValueError:
        raise InvalidInputError("a session is passed on from no address") from None


async def _member_request(request: web.Request) -> MemberRequest:
    asked = parse(MemberRequest, await read_json_body(request), "the request")
    if not _MEMBER_ID.fullmatch(asked.member_id):
        raise InvalidInputError(f"{asked.member_id!r} is not the id of a member")
    return asked
