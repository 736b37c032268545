"""Where a node has its certificates renewed: at any manager, and a manager by itself."""

import json
from collections.abc import Sequence
from typing import Final

from cli.swarmd.asking import ask
from cli.swarmd.joining import of_any
from cli.swarmd.renewing import Renewed
from common.errors import UnavailableError
from common.pki.identity import PeerIdentity
from common.pki.tls import Tls
from manager.ca.renewals import RENEW, Renewals

RENEW_SECONDS_MAX: Final = 10.0
"""For one manager to sign."""


async def signed_by_managers(request: bytes, managers: Sequence[str], tls: Tls) -> Renewed:
    """A certificate from the first of the managers at ``host:port`` that gives one to whom ``tls`` shows.

    Raises:
        SwarmdError: none does.
    """

    async def ask_one(manager: str) -> Renewed:
        body = {"Request": request.decode()}
        answer = await ask(manager, RENEW, tls.client(), body, seconds_max=RENEW_SECONDS_MAX)
        try:
            given = json.loads(answer)
            return Renewed(
                certificate=str(given["Certificate"]).encode(), trust=str(given["Trust"]).encode()
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UnavailableError("a manager answers as none of this version does") from error

    return await of_any(managers, ask_one)


async def signed_by_itself(
    request: bytes, renewals: Renewals, own: PeerIdentity, *, is_heard: bool
) -> Renewed:
    """A certificate from this node's own manager.

    Where the one before has run out, or has not begun yet (``is_heard`` is false), nobody is asked whether this is a
    manager still: the others would not answer. One that was removed meanwhile gains nothing, as they know.

    Raises:
        SwarmdError: it gives none.
    """
    try:
        given = await renewals.renew(own, request)
    except UnavailableError:
        if is_heard:
            raise
        given = await renewals.renew_alone(own, request)
    return Renewed(certificate=given.certificate.encode(), trust=given.trust.encode())
