from dataclasses import replace

import pytest

from common.errors import SystemFailureError
from common.model.node import Role
from common.pki.authority import Root, cross_sign, trust_in
from common.pki.certificate import bundle, facts_of, public_key_in, tls_info_of
from tests.support.pki import NOW, credentials, identity, root_of

WEEK = 7 * 24 * 3600.0
OLD, NEW = root_of("old"), root_of("new")
FOLLOWING = replace(NEW, chain=cross_sign(OLD, NEW.certificate, NOW))


def certificate(root: Root = OLD) -> bytes:
    who = identity("node1", Role.WORKER, "cluster1")
    return credentials(who, root, now=NOW, lifetime_seconds=WEEK).certificate


def test_what_a_certificate_says() -> None:
    facts = facts_of(certificate(), OLD.certificate)
    assert (facts.node_id, facts.role, facts.cluster_id) == ("node1", Role.WORKER, "cluster1")
    assert (facts.not_before, facts.not_after) == (NOW - 3600, NOW + WEEK)


ISSUERS = {
    "the root": (certificate(OLD), OLD.certificate, OLD),
    "one of two roots of the same name": (
        certificate(NEW),
        bundle(OLD.certificate, NEW.certificate),
        NEW,
    ),
    "one that comes along": (certificate(FOLLOWING), OLD.certificate, NEW),
}


@pytest.mark.parametrize("case", ISSUERS)
def test_the_issuer_is(case: str) -> None:
    shown, trust, expected = ISSUERS[case]
    facts = facts_of(shown, trust)
    assert facts.issuer_public_key == public_key_in(expected.certificate)
    assert facts.issuer_subject == trust_in(expected.certificate).cert_issuer_subject
    assert tls_info_of(shown, trust).trust_root == trust.decode()


REFUSED = {
    "of a root that is not trusted": (certificate(NEW), OLD.certificate),
    "a root": (OLD.certificate, OLD.certificate),
    "no certificate": (b"hello", OLD.certificate),
    "empty": (b"", OLD.certificate),
}


@pytest.mark.parametrize("case", REFUSED)
def test_not_read(case: str) -> None:
    with pytest.raises(SystemFailureError):
        facts_of(*REFUSED[case])
