"""A node asks for a certificate, over the cluster listener and a store in memory."""

import asyncio
import json
import logging
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import manager.ca.server as module
from common.errors import ForbiddenError, InvalidInputError, UnavailableError
from common.model.cluster import CaConfig, Cluster, RootCa
from common.model.node import (
    Availability,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    Role,
    TlsInfo,
)
from common.pki.authority import new_request
from common.pki.contexts import client_context, stranger_context
from common.pki.files import Credentials, NodeFiles
from common.pki.identity import MANAGER_NAME, PeerIdentity
from common.pki.tokens import new_token, parse_token
from manager.ca.asked_root import asked_root
from manager.ca.removal import with_removed_node
from manager.ca.rotation import completed
from manager.ca.server import CaServer, CertificateRequest
from manager.listener import ClusterListener
from manager.store.changes import Create, Delete, Update
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock
from tests.support.pki import CLUSTER_ID, NOW, files_of, identity, root_of
from tests.support.tls_streams import MANAGER, accepting, dialled

ROOT = root_of()
WORKERS, MANAGERS = str(new_token(ROOT.certificate)), str(new_token(ROOT.certificate))
OTHER_WORKERS = str(new_token(ROOT.certificate))
KEY, REQUEST = new_request()


@pytest.fixture
async def store() -> Store:
    made = memory_store(FakeClock(now=NOW), random.Random(1))
    root_ca = RootCa(
        certificate=ROOT.certificate,
        key=ROOT.key,
        worker_token=WORKERS,
        manager_token=MANAGERS,
    )
    await made.propose([Create(object=Cluster(id=CLUSTER_ID, root_ca=root_ca))])
    return made


@pytest.fixture
def server(store: Store) -> CaServer:
    return CaServer(store, FakeClock(now=NOW))


def asked(token: str = WORKERS, request: bytes = REQUEST, **more: Any) -> CertificateRequest:
    return CertificateRequest(token=token, request=request.decode(), **more)


async def test_whoever_shows_a_token_becomes_a_node(store: Store, server: CaServer) -> None:
    description = NodeDescription(hostname="host1")
    issued = await server.issue(
        asked(address="192.0.2.7", availability=Availability.DRAIN, description=description), ""
    )
    node = store.state.nodes[issued.node_id]
    assert (issued.cluster_id, issued.role) == (CLUSTER_ID, Role.WORKER)
    assert node.spec == NodeSpec(role=Role.WORKER, availability=Availability.DRAIN)
    assert node.description == description
    assert (node.status.state, node.status.addr) == (NodeState.UNKNOWN, "192.0.2.7")


async def test_the_token_decides_on_the_role(store: Store, server: CaServer) -> None:
    issued = await server.issue(asked(MANAGERS), "")
    assert issued.role is Role.MANAGER
    assert store.state.nodes[issued.node_id].spec.role is Role.MANAGER


async def test_a_token_that_was_replaced_lets_nobody_in_where_that_is_not_known_yet(
    store: Store, server: CaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manager that was cut off, or stopped, knows the old token until it has caught up."""
    cluster = store.state.clusters[CLUSTER_ID]
    rotated = replace(cluster, root_ca=replace(cluster.root_ca, worker_token=OTHER_WORKERS))

    async def catch_up() -> None:
        if store.state.clusters[CLUSTER_ID].root_ca.worker_token == WORKERS:
            await store.propose([Update(object=rotated)])

    monkeypatch.setattr(store, "up_to_date", catch_up)
    with pytest.raises(ForbiddenError):
        await server.issue(asked(), "")
    assert store.state.nodes == {}


async def test_a_repeated_request_is_the_same_node(store: Store, server: CaServer) -> None:
    first = await server.issue(asked(), "")
    again = await server.issue(asked(), "")
    elsewhere = await CaServer(store, FakeClock(now=NOW)).issue(asked(), "")
    assert first.node_id == again.node_id == elsewhere.node_id
    assert len(store.state.nodes) == 1


async def test_the_same_request_many_times_at_once_is_one_node(
    store: Store, server: CaServer
) -> None:
    servers = [server, CaServer(store, FakeClock(now=NOW))]
    answers = await asyncio.gather(*(servers[n % 2].issue(asked(), "") for n in range(8)))
    assert len({answer.node_id for answer in answers}) == 1
    assert len(store.state.nodes) == 1


async def test_another_key_is_another_node(store: Store, server: CaServer) -> None:
    _, other = new_request()
    await server.issue(asked(), "")
    await server.issue(asked(request=other), "")
    assert len(store.state.nodes) == 2


REFUSED = {
    "no token": (asked(""), ForbiddenError),
    "a token of another cluster": (asked(str(new_token(b"another root"))), ForbiddenError),
    "the right digest with another secret": (asked(WORKERS[:-1] + "?"), ForbiddenError),
    "the right secret with another digest": (
        asked("SWMTKN-1-" + "0" * 50 + WORKERS[59:]),
        ForbiddenError,
    ),
    "an endless token": (asked("SWMTKN" * 10_000), ForbiddenError),
    "no request": (asked(request=b"hello"), InvalidInputError),
}


@pytest.mark.parametrize(("request_", "error"), REFUSED.values(), ids=REFUSED)
async def test_refuses(
    store: Store, server: CaServer, request_: CertificateRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await server.issue(request_, "")
    assert store.state.nodes == {}


async def test_a_node_does_not_change_its_role_by_another_token(
    store: Store, server: CaServer
) -> None:
    await server.issue(asked(WORKERS), "")
    with pytest.raises(ForbiddenError, match="is a worker already"):
        await server.issue(asked(MANAGERS), "")


async def test_too_many_at_once_are_told_to_come_again(
    server: CaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ISSUES_MAX", 2)
    answers = await asyncio.gather(
        *(server.issue(asked(request=new_request()[1]), "") for _ in range(3)),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers[:2]] == [module.Issued, module.Issued]
    assert isinstance(answers[2], UnavailableError)
    assert isinstance(await server.issue(asked(), ""), module.Issued)


async def test_wrong_tokens_do_not_use_up_the_pace_of_right_ones(server: CaServer) -> None:
    for _ in range(module.ISSUES_MAX + 1000):
        with pytest.raises(ForbiddenError):
            await server.issue(asked("SWMTKN-1-x"), "")
    assert isinstance(await server.issue(asked(), ""), module.Issued)


async def test_without_a_root_nobody_is_let_in(store: Store) -> None:
    bare = memory_store(FakeClock(now=NOW), random.Random(2))
    await bare.propose([Create(object=Cluster(id=CLUSTER_ID))])
    with pytest.raises(UnavailableError, match="certificate authority"):
        await CaServer(bare, FakeClock(now=NOW)).issue(asked(), "")


async def test_neither_key_nor_tokens_are_logged(
    server: CaServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await server.issue(asked(), "192.0.2.9")
    with pytest.raises(ForbiddenError):
        await server.issue(asked(WORKERS[:-1] + "?"), "192.0.2.9")
    told = " ".join(str(vars(record)) for record in caplog.records)
    assert "192.0.2.9" in told
    secret = parse_token(WORKERS).secret
    assert [
        word for word in (secret[:-1], "PRIVATE", ROOT.key.decode()[40:80]) if word in told
    ] == []
    assert secret not in repr(asked())


# ------------------------------------------------------------------------------- over the network


@dataclass
class Host:
    """A machine that wants to join."""

    listener: ClusterListener

    async def ask(
        self, context: ssl.SSLContext, method: str, path: str, body: object = None
    ) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method,
                f"https://127.0.0.1:{self.listener.port}{path}",
                ssl=context,
                json=body,
                server_hostname=MANAGER_NAME if context.check_hostname else None,
            ) as response,
        ):
            return response.status, await response.read()


@pytest.fixture
async def host(tmp_path: Path, server: CaServer) -> AsyncIterator[Host]:
    context = files_of(tmp_path, MANAGER).server_context()
    routes = [*server.routes(), accepting(lambda stream: stream.close())]
    async with ClusterListener("127.0.0.1:0", lambda: context, CLUSTER_ID, routes) as listener:
        yield Host(listener)


def body_of(token: str) -> dict[str, object]:
    return {
        "Token": token,
        "Request": REQUEST.decode(),
        "Address": "192.0.2.7",
        "Availability": "active",
        "Description": {"Hostname": "host1"},
    }


async def test_a_machine_joins_by_its_token_alone(host: Host, store: Store, tmp_path: Path) -> None:
    token = parse_token(WORKERS)
    status, root = await host.ask(stranger_context(), "GET", "/ca/root")
    assert status == 200
    assert token.is_for(root)
    assert b"PRIVATE" not in root

    status, answer = await host.ask(
        client_context(root), "POST", "/ca/certificate", body_of(WORKERS)
    )
    given = json.loads(answer)
    assert status == 200
    assert set(given) == {"NodeID", "ClusterID", "Role", "Certificate"}
    assert list(store.state.nodes) == [given["NodeID"]]

    files = NodeFiles(tmp_path / "joined")
    files.write(Credentials(root=root, certificate=given["Certificate"].encode(), key=KEY))
    stream = await dialled(host.listener, files.client_context())
    stream.attach(lambda _: None, ended=lambda _: None)
    await stream.until_ended()


async def test_a_joiner_with_a_wrong_digest_says_nothing(host: Host) -> None:
    _, root = await host.ask(stranger_context(), "GET", "/ca/root")
    assert not parse_token(str(new_token(b"another root"))).is_for(root)


BAD_BODIES: dict[str, tuple[object, int]] = {
    "a wrong token": (body_of("SWMTKN-1-x"), 403),
    "nothing": ({}, 403),
    "a list": ([], 400),
    "a wish for a role is not known": ({**body_of(WORKERS), "Role": "manager"}, 200),
    "an availability that there is not": ({**body_of(WORKERS), "Availability": "never"}, 400),
    "half a letter": ({**body_of(WORKERS), "Token": "\ud800"}, 400),
}


@pytest.mark.parametrize(("body", "status"), BAD_BODIES.values(), ids=BAD_BODIES)
async def test_answers(host: Host, store: Store, body: object, status: int) -> None:
    context = client_context(ROOT.certificate)
    assert (await host.ask(context, "POST", "/ca/certificate", body))[0] == status
    assert all(node.spec.role is Role.WORKER for node in store.state.nodes.values())


# ------------------------------------------------------------------------------- renewal, over the network


async def test_a_node_renews_by_its_certificate_and_the_list_decides(
    host: Host, store: Store, tmp_path: Path
) -> None:
    await store.propose([Create(object=Node(id="w", spec=NodeSpec(role=Role.MANAGER)))])
    shown = files_of(tmp_path, identity("w", Role.WORKER)).client_context()
    key, request = new_request()
    wish = {"Request": request.decode(), "Role": "worker", "NodeID": "other"}
    status, answer = await host.ask(shown, "POST", "/ca/renew", wish)
    given = json.loads(answer)
    assert status == 200
    assert (set(given), given["Role"]) == ({"Certificate", "Trust", "Role"}, "manager")
    files = NodeFiles(tmp_path / "renewed")
    trust, certificate = given["Trust"].encode(), given["Certificate"].encode()
    files.write(Credentials(root=trust, certificate=certificate, key=key))
    stream = await dialled(host.listener, files.client_context())
    stream.attach(lambda _: None, ended=lambda _: None)
    await stream.until_ended()


STRANGERS: dict[str, tuple[PeerIdentity | None, int]] = {
    "nobody": (None, 401),
    "a node of another cluster": (identity("w", Role.WORKER, "cluster2"), 403),
    "a node that was removed": (identity("gone", Role.WORKER), 403),
    "a node that is not in the list": (identity("unknown", Role.MANAGER), 403),
}


@pytest.mark.parametrize("case", STRANGERS)
async def test_renews_nothing_for(host: Host, store: Store, tmp_path: Path, case: str) -> None:
    cluster = store.state.cluster()
    assert cluster is not None
    await store.propose([Update(object=with_removed_node(cluster, "gone", NOW))])
    who, expected = STRANGERS[case]
    shown = client_context(ROOT.certificate)
    if who is not None:
        shown = files_of(tmp_path, who).client_context()
    body = {"Request": REQUEST.decode()}
    assert (await host.ask(shown, "POST", "/ca/renew", body))[0] == expected


async def test_a_removed_node_does_not_join_again_with_its_key(
    store: Store, server: CaServer
) -> None:
    given = await server.issue(asked(), "")
    cluster = store.state.cluster()
    assert cluster is not None
    removed = Update(object=with_removed_node(cluster, given.node_id, NOW))
    await store.propose([Delete(table="node", id=given.node_id), removed])
    with pytest.raises(ForbiddenError, match="was removed"):
        await server.issue(asked(), "")
    assert store.state.nodes == {}


async def test_tokens_of_a_former_root_let_nobody_in(store: Store, server: CaServer) -> None:
    cluster = store.state.cluster()
    assert cluster is not None
    root_ca = completed(
        asked_root(cluster.root_ca, CaConfig(force_rotate=1), NOW), "SWMTKN-w", "SWMTKN-m"
    )
    await store.propose([Update(object=replace(cluster, root_ca=root_ca))])
    for token in (WORKERS, MANAGERS):
        with pytest.raises(ForbiddenError):
            await server.issue(asked(token), "")


async def test_a_joiner_that_says_whom_it_trusts_is_not_believed(
    store: Store, server: CaServer
) -> None:
    described = NodeDescription(tls_info=TlsInfo(trust_root="x", cert_issuer_public_key=b"x"))
    given = await server.issue(asked(description=described), "")
    assert store.state.nodes[given.node_id].description.tls_info is None
