"""Where a node is to be reached in a swarm that it makes, joins, or is forced to go on with alone."""

import random  # noqa: TID251 - only named as a type
from dataclasses import replace

from cli.swarmd.addresses import advertised, listening, port_of
from cli.swarmd.life import Surroundings
from cli.swarmd.membership import Membership
from manager.api.ports import InitRequest, JoinRequest
from manager.raft.peers import MEMBER_ID_DIGITS


async def new_membership(
    around: Surroundings, request: InitRequest | JoinRequest, cluster_id: str, node_id: str
) -> Membership:
    """Where this node is to be reached, and a new id in the log.

    Raises:
        InvalidInputError: an address that this machine does not have, or several to choose from.
    """
    own = await around.addresses()
    host, port = listening(request.listen_addr, own)
    return Membership(
        node_id=node_id,
        cluster_id=cluster_id,
        member_id=new_member_id(around.chance),
        address=advertised(request.advertise_addr, own),
        port=port_of(request.advertise_addr, port),
        listen_host=host,
        listen_port=port,
    )


def new_member_id(chance: random.Random) -> str:
    """An id in the log that no manager has had before."""
    return f"{chance.getrandbits(4 * MEMBER_ID_DIGITS):0{MEMBER_ID_DIGITS}x}"


async def moved(around: Surroundings, before: Membership, request: InitRequest) -> Membership:
    """A membership with another address, if the request says one.

    Raises:
        InvalidInputError: an address that this machine does not have.
    """
    if not request.advertise_addr:
        return before
    own = await around.addresses()
    return replace(
        before,
        address=advertised(request.advertise_addr, own),
        port=port_of(request.advertise_addr, before.port),
    )
