"""A node asks for another certificate, with the one that it has."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import json_response
from common.engine_json import parse
from common.errors import ForbiddenError, UnavailableError
from common.model.cluster import Cluster
from common.model.node import Node, Role
from common.pki.identity import PeerIdentity
from manager.ca.pace import NodePaces
from manager.ca.removal import is_removed
from manager.ca.roots import issuing_root, trust_of
from manager.ca.told import certificate_role
from manager.listener import Caller, read_json_body
from manager.store.store import Store

RENEW: Final = "/ca/renew"
RENEWALS_MAX: Final = 32
"""Certificates being renewed at once; who asks beyond is told to come again."""

log = logging.getLogger("swarmd.ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRequest:
    """The body of ``POST /ca/renew``."""

    request: str = ""
    """A certificate request in PEM; only its key is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The answer."""

    certificate: str
    """PEM, with the chain that others may need to believe it."""
    trust: str
    """The roots to trust now, in PEM."""
    role: Role


class Renewals:
    """Gives certificates to nodes of the list, and to no others. Any manager does."""

    def __init__(self, store: Store, clock: Clock, is_member: Callable[[str], bool]) -> None:
        """``is_member``: whether a manager runs on that node, as far as is known here."""
        self._store, self._clock, self._is_member = store, clock, is_member
        self._paces = NodePaces()
        self._renewing = 0

    async def serve(self, request: web.Request, caller: Caller) -> web.Response:
        """``POST /ca/renew``."""
        asked = parse(RenewalRequest, await read_json_body(request), "the request")
        renewed = await self.renew(caller.identity, asked.request.encode())
        return json_response(
            {
                "Certificate": renewed.certificate,
                "Trust": renewed.trust,
                "Role": renewed.role.value,
            }
        )

    async def renew(self, caller: PeerIdentity, request: bytes) -> Renewed:
        """A certificate for the caller, whose role is what the list of nodes says.

        Raises:
            ForbiddenError: its node is not in the list, or was removed.
            InvalidInputError: the certificate request is none.
            UnavailableError: it asks too often, too many ask at once, or what is committed cannot be known.
        """
        nodes = self._store.state.nodes
        if is_removed(self._store.state.cluster(), caller.node_id):
            raise ForbiddenError(f"node {caller.node_id} is not part of this swarm")
        if not self._paces.take(caller.node_id, self._clock.monotonic(), nodes):
            raise UnavailableError(
                f"node {caller.node_id} asks for certificates too often", hint="try again later"
            )
        if self._renewing >= RENEWALS_MAX:
            raise UnavailableError("too many nodes renew at once", hint="try again")
        self._renewing += 1
        try:
            await self._store.up_to_date()
            return await self._renew(caller, request)
        finally:
            self._renewing -= 1

    async def renew_alone(self, own: PeerIdentity, request: bytes) -> Renewed:
        """This manager's own certificate, by what it knows itself.

        It has the authority's key, and no other manager hears one whose certificate has run out: with all of them away
        for that long, none could ever learn more.

        Raises:
            ForbiddenError: its node is not in the list.
            InvalidInputError: the certificate request is none.
        """
        return await self._renew(own, request)

    async def _renew(self, caller: PeerIdentity, request: bytes) -> Renewed:
        cluster, node = self._cluster(), self._store.state.nodes.get(caller.node_id)
        if node is None or is_removed(cluster, caller.node_id):
            raise ForbiddenError(f"node {caller.node_id} is not part of this swarm")
        role = certificate_role(node, is_member=self._is_member(node.id))
        renewed = await asyncio.to_thread(_sign, cluster, node, role, request, self._clock.now())
        log.info("a certificate was renewed", extra={"node": node.id, "role": role.value})
        return renewed

    def _cluster(self) -> Cluster:
        cluster = self._store.state.cluster()
        if cluster is None or not cluster.root_ca.key:
            raise UnavailableError("this manager does not have the cluster's certificate authority")
        return cluster


def _sign(cluster: Cluster, node: Node, role: Role, request: bytes, now: float) -> Renewed:
    from common.pki.authority import sign  # noqa: PLC0415 - slow to load

    subject = PeerIdentity(node_id=node.id, role=role, cluster_id=cluster.id)
    lifetime = cluster.spec.ca_config.node_cert_expiry_seconds
    certificate = sign(issuing_root(cluster.root_ca), request, subject, now, lifetime)
    return Renewed(
        certificate=certificate.decode(), trust=trust_of(cluster.root_ca).decode(), role=role
    )
