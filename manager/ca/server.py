"""Certificates: the cluster's root and a first certificate for whoever has a join token, another one for a node."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from aiohttp import web

from common.clock import Clock
from common.engine_api.http import json_response
from common.engine_json import parse
from common.errors import (
    ConflictError,
    ForbiddenError,
    UnavailableError,
)
from common.model.cluster import Cluster
from common.model.node import (
    Availability,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    NodeStatus,
    Role,
)
from common.pki.identity import PeerIdentity
from common.pki.tokens import TOKEN_CHARACTERS_MAX
from manager.ca.admission import NOT_LET_IN, node_id_for, role_of_token
from manager.ca.pace import Pace
from manager.ca.removal import is_removed
from manager.ca.renewals import RENEW, Renewals
from manager.ca.roots import issuing_root
from manager.listener import Access, Caller, ClusterRoute, read_json_body
from manager.store.changes import Create
from manager.store.store import Store

ISSUES_MAX: Final = 16
"""Certificates being issued at once; who asks beyond is told to come again."""
ADDRESS_CHARACTERS_MAX: Final = 64

log = logging.getLogger("swarmd.ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRequest:
    """The body of ``POST /ca/certificate``."""

    token: str = field(default="", repr=False)
    request: str = ""
    """A certificate request in PEM; only its key is looked at."""
    address: str = ""
    """By which the others reach the node."""
    availability: Availability = Availability.ACTIVE
    description: NodeDescription = field(default_factory=NodeDescription)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """The answer."""

    node_id: str
    cluster_id: str
    role: Role
    certificate: str
    """PEM."""


class CaServer:
    """The certificate authority as other machines see it. Any manager answers; the node is made through the store."""

    def __init__(
        self, store: Store, clock: Clock, is_member: Callable[[str], bool] = lambda _: False
    ) -> None:
        """``is_member``: whether a manager runs on that node, as far as is known here."""
        self._store, self._clock = store, clock
        self._renewals = Renewals(store, clock, is_member)
        self._pace = Pace()
        self._issuing = 0

    def routes(self) -> list[ClusterRoute]:
        """What the cluster listener is to serve."""
        return [
            ClusterRoute(method="GET", path="/ca/root", access=Access.ANYONE, handler=self._root),
            ClusterRoute(
                method="POST",
                path="/ca/certificate",
                access=Access.ANYONE,
                handler=self._certificate,
            ),
            ClusterRoute(
                method="POST", path=RENEW, access=Access.NODE, handler=self._renewals.serve
            ),
        ]

    async def _root(self, _request: web.Request, _caller: Caller) -> web.Response:
        root = self._cluster().root_ca.certificate
        return web.Response(body=root, content_type="application/x-pem-file")

    async def _certificate(self, request: web.Request, caller: Caller) -> web.Response:
        asked = parse(CertificateRequest, await read_json_body(request), "the request")
        issued = await self.issue(asked, caller.address)
        return json_response(
            {
                "NodeID": issued.node_id,
                "ClusterID": issued.cluster_id,
                "Role": issued.role.value,
                "Certificate": issued.certificate,
            }
        )

    async def issue(self, asked: CertificateRequest, caller: str) -> Issued:
        """Makes the node, unless an earlier request with the same key did, and gives its certificate.

        Raises:
            ForbiddenError: the token is not one of this cluster's, or is for another role than the node has.
            InvalidInputError: the certificate request is none.
            UnavailableError: too many ask at once, or no manager leads.
        """
        cluster = self._cluster()
        if len(asked.token) > TOKEN_CHARACTERS_MAX:
            raise ForbiddenError(NOT_LET_IN)
        try:
            role = role_of_token(asked.token, cluster.root_ca)
        except ForbiddenError:
            log.warning("a machine asked to join with a wrong token", extra={"client": caller})
            raise
        if self._issuing >= ISSUES_MAX or not self._pace.take(self._clock.monotonic()):
            raise UnavailableError("too many nodes join at once", hint="try again")
        self._issuing += 1
        try:
            return await self._issue(asked, cluster, role)
        finally:
            self._issuing -= 1

    async def _issue(self, asked: CertificateRequest, cluster: Cluster, role: Role) -> Issued:
        # Off the loop: the first time, what signs is loaded, too, which takes far longer than signing.
        public_key = await asyncio.to_thread(_requested_key, asked.request.encode())
        node_id = node_id_for(cluster.id, public_key)
        await self._have_node(node_id, role, asked)
        subject = PeerIdentity(node_id=node_id, role=role, cluster_id=cluster.id)
        cluster = self._cluster()  # another root may sign by now
        certificate = await asyncio.to_thread(
            _sign, cluster, asked.request.encode(), subject, self._clock.now()
        )
        log.info("a certificate was issued", extra={"node": node_id, "role": role.value})
        return Issued(
            node_id=node_id,
            cluster_id=cluster.id,
            role=role,
            certificate=certificate.decode(),
        )

    async def _have_node(self, node_id: str, role: Role, asked: CertificateRequest) -> None:
        """Makes the node, or finds it made.

        Raises:
            ForbiddenError: it is there, with another role; or the token is none any more.
        """
        await self._store.up_to_date()
        if role_of_token(asked.token, self._cluster().root_ca) is not role:
            raise ForbiddenError(NOT_LET_IN)  # the token was replaced, which was not known here
        if is_removed(self._cluster(), node_id):
            raise ForbiddenError(
                f"node {node_id} was removed from this swarm", hint="join with a new key"
            )
        if node_id not in self._store.state.nodes:
            try:
                await self._store.propose([Create(object=_new_node(node_id, role, asked))])
            except ConflictError:
                await (
                    self._store.up_to_date()
                )  # another manager was asked the same, and was quicker
        node = self._store.state.nodes.get(node_id)
        if node is None:
            raise UnavailableError("the node was removed meanwhile")
        if node.spec.role is not role:
            raise ForbiddenError(f"node {node_id} is a {node.spec.role} already")

    def _cluster(self) -> Cluster:
        cluster = self._store.state.cluster()
        if cluster is None or not cluster.root_ca.key:
            raise UnavailableError("this manager does not have the cluster's certificate authority")
        return cluster


def _new_node(node_id: str, role: Role, asked: CertificateRequest) -> Node:
    return Node(
        id=node_id,
        spec=NodeSpec(role=role, availability=asked.availability),
        # Whom it trusts it cannot say before it has a certificate: a change of the root waits until it does.
        description=replace(asked.description, tls_info=None),
        status=NodeStatus(state=NodeState.UNKNOWN, addr=asked.address[:ADDRESS_CHARACTERS_MAX]),
    )


def _requested_key(request: bytes) -> bytes:
    from common.pki.authority import requested_key  # noqa: PLC0415 - slow to load

    return requested_key(request)


def _sign(cluster: Cluster, request: bytes, subject: PeerIdentity, now: float) -> bytes:
    from common.pki.authority import sign  # noqa: PLC0415 - slow to load

    lifetime = cluster.spec.ca_config.node_cert_expiry_seconds
    return sign(issuing_root(cluster.root_ca), request, subject, now, lifetime)
