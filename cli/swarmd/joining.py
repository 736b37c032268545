"""How a node that is in no swarm gets into one: asks managers, and believes nothing that its token does not prove."""

import asyncio
import json
import logging
import random  # noqa: TID251 - only named as a type
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from cli.swarmd.asking import MisdirectedError, RefusedError, ask
from cli.swarmd.membership import Membership
from common.backoff import delays
from common.clock import Clock
from common.engine_json import render
from common.errors import (
    ForbiddenError,
    InvalidInputError,
    SwarmdError,
    UnavailableError,
)
from common.model.node import NodeDescription, Role
from common.pki.files import Credentials, NodeFiles
from common.pki.tls import Tls
from manager.api.ports import JoinRequest
from manager.raft.peers import RaftStatus

ASK_SECONDS_MAX: Final = 5.0
"""One question to one manager."""
ADD_SECONDS_MAX: Final = 60.0
"""The leader feeds the log of a joiner before it answers."""
AGAIN_SECONDS: Final = 0.2
AGAIN_SECONDS_MAX: Final = 5.0
LOOK_SECONDS: Final = 0.2
"""How often a joiner looks into its own log for its addition."""
REDIRECTS_MAX: Final = 4
NO_MANAGER: Final = "could not reach any manager of the swarm"
T = TypeVar("T")

log = logging.getLogger("swarmd.node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduced:
    """What the managers gave a node that showed them its token."""

    node_id: str
    cluster_id: str
    role: Role
    credentials: Credentials


class Around(Protocol):
    """What waiting takes."""

    @property
    def clock(self) -> Clock: ...  # noqa: D102
    @property
    def chance(self) -> random.Random: ...  # noqa: D102


async def introduce(request: JoinRequest, address: str, description: NodeDescription) -> Introduced:
    """Gets a certificate for this node; nothing is kept here.

    Raises:
        InvalidInputError: the token cannot be one, or is not one of the swarm at these addresses.
        ForbiddenError: the managers do not take it.
        UnavailableError: none of them can be reached, or none leads.
    """
    from common.pki.authority import new_request  # noqa: PLC0415 - slow to load
    from common.pki.contexts import client_context, stranger_context  # noqa: PLC0415
    from common.pki.tokens import JoinToken, parse_token  # noqa: PLC0415

    token: JoinToken = parse_token(request.join_token)

    async def get_root(manager: str) -> bytes:
        root = await ask(manager, "/ca/root", stranger_context(), seconds_max=ASK_SECONDS_MAX)
        if not token.is_for(root):
            raise InvalidInputError(
                f"the join token is not one of the swarm at {manager}: its root certificate is another one"
            )
        return root

    root = await of_any(request.remote_addrs, get_root)
    context = client_context(root)
    key, asked = await asyncio.to_thread(new_request)
    body = {
        "Token": request.join_token.strip(),
        "Request": asked.decode(),
        "Address": address,
        "Availability": request.availability.value,
        "Description": render(description),
    }

    async def get_certificate(manager: str) -> dict[str, Any]:
        answer = await ask(manager, "/ca/certificate", context, body, seconds_max=ASK_SECONDS_MAX)
        found: dict[str, Any] = json.loads(answer)
        return found

    try:
        given = await of_any(request.remote_addrs, get_certificate)
        return Introduced(
            node_id=str(given["NodeID"]),
            cluster_id=str(given["ClusterID"]),
            role=Role(given["Role"]),
            credentials=Credentials(
                root=root, certificate=str(given["Certificate"]).encode(), key=key
            ),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UnavailableError("a manager answers as none of this version does") from error


class Joining(Protocol):
    """A node that joins the managers, or goes back."""

    @property
    def membership(self) -> Membership: ...  # noqa: D102
    @property
    def tls(self) -> Tls: ...  # noqa: D102


class Member(Protocol):
    """What is asked of its log."""

    def status(self) -> RaftStatus: ...  # noqa: D102


async def until_added(joining: Joining, member: Member, around: Around) -> Sequence[str]:
    """Has the leader take this member into the log, asking again and again; gives all managers' addresses.

    Raises:
        SwarmdError: it never will: this node or this member is not wanted.
    """
    me = joining.membership
    body = {"MemberID": me.member_id, "Address": me.cluster_address}

    async def be_added(manager: str) -> Sequence[str]:
        context = joining.tls.client()
        answer = await ask(manager, "/raft/join", context, body, seconds_max=ADD_SECONDS_MAX)
        return [str(address) for address in json.loads(answer)["Managers"]]

    waits = delays(AGAIN_SECONDS, AGAIN_SECONDS_MAX, around.chance)
    while True:
        known = member.status()
        if known.is_member:
            return [peer.address for peer in known.members]
        try:
            return await of_any(joining.membership.managers, be_added)
        except (UnavailableError, ValueError, KeyError, TypeError) as error:
            log.info("not added to the managers yet", extra={"reason": error})
        except ForbiddenError as error:
            if not joining.membership.is_promoted:
                raise
            # A manager that is behind; should it be so indeed, the session of this node's agent tells it.
            log.info("not added to the managers yet", extra={"reason": error})
        await around.clock.sleep(next(waits))


async def take_back(files: NodeFiles, membership: Membership) -> None:
    """Tells the managers that this node does not join after all. Should that fail, its node stays in their list."""
    try:
        context = files.client_context()

        async def forget(manager: str) -> None:
            body = {"MemberID": membership.member_id}
            await ask(manager, "/raft/leave", context, body, seconds_max=ASK_SECONDS_MAX)

        await of_any(membership.managers, forget)
    except (SwarmdError, OSError) as error:
        log.warning(
            "the managers still list this node, which has not joined",
            extra={"node": membership.node_id, "reason": error},
        )


async def of_any(managers: Sequence[str], question: Callable[[str], Awaitable[T]]) -> T:
    """The answer of the first manager that has one; one that does not lead says whom to ask.

    Raises:
        SwarmdError: what the first that could be reached refused it with; UnavailableError: none could be.
    """
    left, reasons, redirects = list(managers), [], 0
    while left:
        manager = left.pop(0)
        try:
            return await question(manager)
        except MisdirectedError as error:
            redirects += 1
            reasons.append(str(error))
            if error.leader and redirects <= REDIRECTS_MAX:
                left.insert(0, error.leader)
        except UnavailableError as error:
            reasons.append(str(error))
        except RefusedError as error:
            raise (ForbiddenError if error.status in (401, 403) else InvalidInputError)(
                error.message
            ) from error
    raise UnavailableError(f"{NO_MANAGER}: {'; '.join(dict.fromkeys(reasons))}")
