"""A node asks for another certificate."""

import random
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from common.errors import ForbiddenError, InvalidInputError, UnavailableError
from common.model.cluster import Cluster, RootCa, RootRotation
from common.model.node import Node, NodeSpec, Role
from common.pki.authority import REQUEST_BYTES_MAX, cross_sign, new_request
from common.pki.certificate import bundle, facts_of, public_key_in
from common.pki.identity import PeerIdentity
from manager.ca.pace import NODE_BURST_MAX, NODE_SECONDS
from manager.ca.removal import with_removed_node
from manager.ca.renewals import Renewals
from manager.store.changes import Create, Delete, Update
from manager.store.store import Store, memory_store
from tests.support.fake_clock import FakeClock
from tests.support.pki import CLUSTER_ID, NOW, identity, root_of

OLD, NEW = root_of("old"), root_of("new")
_, REQUEST = new_request()
WORKER, MANAGER = identity("worker", Role.WORKER), identity("manager", Role.MANAGER)
DEMOTED, PROMOTED = identity("demoted", Role.MANAGER), identity("promoted", Role.WORKER)
DAY = 24 * 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=NOW)


@pytest.fixture
async def store(clock: FakeClock) -> Store:
    made = memory_store(clock, random.Random(1))
    root_ca = RootCa(certificate=OLD.certificate, key=OLD.key)
    roles = {
        "worker": Role.WORKER,
        "manager": Role.MANAGER,
        "demoted": Role.WORKER,
        "leaving": Role.WORKER,
        "promoted": Role.MANAGER,
    }
    await made.propose(
        [
            Create(object=Cluster(id=CLUSTER_ID, root_ca=root_ca)),
            *(
                Create(object=Node(id=name, spec=NodeSpec(role=role)))
                for name, role in roles.items()
            ),
        ]
    )
    return made


@pytest.fixture
def renewals(store: Store, clock: FakeClock) -> Renewals:
    return Renewals(store, clock, {"manager", "leaving"}.__contains__)


ROLES = {
    "a worker": (WORKER, Role.WORKER),
    "a manager": (MANAGER, Role.MANAGER),
    "a worker that was promoted": (PROMOTED, Role.MANAGER),
    "a manager that was demoted": (DEMOTED, Role.WORKER),
    "a manager that was demoted, and is in the log still": (
        identity("leaving", Role.MANAGER),
        Role.MANAGER,
    ),
}


@pytest.mark.parametrize(("caller", "expected"), ROLES.values(), ids=ROLES)
async def test_the_list_of_nodes_decides_on_the_role_of(
    renewals: Renewals, caller: PeerIdentity, expected: Role
) -> None:
    renewed = await renewals.renew(caller, REQUEST)
    facts = facts_of(renewed.certificate.encode(), renewed.trust.encode())
    assert (facts.node_id, facts.role, facts.cluster_id) == (caller.node_id, expected, CLUSTER_ID)
    assert renewed.role is expected
    assert facts.not_after == NOW + 90 * DAY


def hostile(key: object = None, **names: str) -> bytes:
    own = key or ec.generate_private_key(ec.SECP256R1())
    kinds = {
        "node": NameOID.COMMON_NAME,
        "unit": NameOID.ORGANIZATIONAL_UNIT_NAME,
        "cluster": NameOID.ORGANIZATION_NAME,
    }
    asked = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(kinds[kind], name) for kind, name in names.items()])
    )
    asked = asked.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    asked = asked.add_extension(
        x509.SubjectAlternativeName([x509.DNSName("swarm-manager")]), critical=False
    )
    signed = asked.sign(own, hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.PEM)


async def test_a_request_for_another_role_name_or_power_gets_what_the_node_is(
    renewals: Renewals,
) -> None:
    request = hostile(node="manager", unit="swarm-manager", cluster="other")
    renewed = await renewals.renew(WORKER, request)
    certificate = x509.load_pem_x509_certificate(renewed.certificate.encode())
    facts = facts_of(renewed.certificate.encode(), renewed.trust.encode())
    assert (facts.node_id, facts.role, facts.cluster_id) == ("worker", Role.WORKER, CLUSTER_ID)
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not limits.value.ca
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["swarm-worker", "worker"]


REFUSED = {
    "nothing": b"",
    "no request": b"hello",
    "a huge one": b"x" * (REQUEST_BYTES_MAX + 1),
    "an RSA key": hostile(rsa.generate_private_key(65537, 2048)),
    "another curve": hostile(ec.generate_private_key(ec.SECP384R1())),
    "a certificate": OLD.certificate,
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refuses_a_request_of(renewals: Renewals, case: str) -> None:
    with pytest.raises(InvalidInputError):
        await renewals.renew(WORKER, REFUSED[case])


async def test_a_node_that_is_not_in_the_list_gets_none(renewals: Renewals) -> None:
    with pytest.raises(ForbiddenError, match="not part of this swarm"):
        await renewals.renew(identity("stranger"), REQUEST)


async def test_a_removed_node_gets_none(store: Store, renewals: Renewals) -> None:
    cluster = store.state.cluster()
    assert cluster is not None
    await store.propose(
        [
            Delete(table="node", id="worker"),
            Update(object=with_removed_node(cluster, "worker", NOW)),
        ]
    )
    with pytest.raises(ForbiddenError):
        await renewals.renew(WORKER, REQUEST)


async def test_a_node_that_asks_in_a_loop_waits_and_the_others_do_not(
    renewals: Renewals, clock: FakeClock
) -> None:
    for _ in range(NODE_BURST_MAX):
        await renewals.renew(WORKER, REQUEST)
    with pytest.raises(UnavailableError, match="too often"):
        await renewals.renew(WORKER, REQUEST)
    await renewals.renew(MANAGER, REQUEST)
    await clock.advance(NODE_SECONDS)
    await renewals.renew(WORKER, REQUEST)


async def test_while_roots_change_certificates_are_of_the_next_one_and_both_are_trusted(
    store: Store, renewals: Renewals
) -> None:
    cluster = store.state.cluster()
    assert cluster is not None
    between = cross_sign(OLD, NEW.certificate, NOW)
    rotation = RootRotation(certificate=NEW.certificate, key=NEW.key, cross_signed=between)
    changed = replace(cluster, root_ca=replace(cluster.root_ca, rotation=rotation))
    await store.propose([Update(object=changed)])
    renewed = await renewals.renew(WORKER, REQUEST)
    assert renewed.trust.encode() == bundle(OLD.certificate, NEW.certificate)
    by_old = facts_of(renewed.certificate.encode(), OLD.certificate)
    assert by_old.issuer_public_key == public_key_in(NEW.certificate)
