import datetime
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from common.errors import InvalidInputError, SystemFailureError
from common.model.node import Role
from common.pki.authority import Root, new_request, new_root, requested_key, sign, trust_in
from common.pki.identity import PeerIdentity, identity_in
from tests.support.pki import NOW, root_of

WHO = PeerIdentity(node_id="node1", role=Role.WORKER, cluster_id="cluster1")
DAY = 24 * 3600.0


def signed(request: bytes, seconds: float = 90 * DAY) -> x509.Certificate:
    return x509.load_pem_x509_certificate(sign(root_of(), request, WHO, NOW, seconds))


def decoded(pem: bytes, directory: Path) -> PeerIdentity:
    """As the other end of a connection sees it."""
    path = directory / "certificate.pem"
    path.write_bytes(pem)
    return identity_in(ssl._ssl._test_decode_cert(str(path)))  # type: ignore[attr-defined]


def moment(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def test_a_root_is_dockers_and_lives_twenty_years() -> None:
    root = x509.load_pem_x509_certificate(new_root(NOW).certificate)
    assert root.subject.rfc4514_string() == root.issuer.rfc4514_string() == "CN=swarm-ca"
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    assert (root.not_valid_after_utc - moment(NOW)).days == 20 * 365


def test_a_certificate_says_who_the_node_is(tmp_path: Path) -> None:
    _, request = new_request()
    assert decoded(sign(root_of(), request, WHO, NOW, DAY), tmp_path) == WHO


def test_a_certificate_is_no_authority_and_lives_as_long_as_told() -> None:
    _, request = new_request()
    certificate = signed(request, 90 * DAY)
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert not limits.value.ca
    assert limits.critical
    assert certificate.not_valid_before_utc == moment(NOW - 3600)
    assert certificate.not_valid_after_utc == moment(NOW + 90 * DAY)


def test_a_certificate_lives_an_hour_at_least() -> None:
    _, request = new_request()
    assert signed(request, 1.0).not_valid_after_utc == moment(NOW + 3600)


def test_the_wishes_of_a_request_are_not_looked_at(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    wishes = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "somebody-else"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "swarm-manager"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "other-cluster"),
        ]
    )
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(wishes)
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("swarm-manager")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    pem = sign(root_of(), request, WHO, NOW, DAY)
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert decoded(pem, tmp_path) == WHO
    assert names.value.get_values_for_type(x509.DNSName) == ["swarm-worker", "node1"]
    assert not limits.value.ca


def _rsa_request() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _anothers_request() -> bytes:
    """A request whose key was exchanged behind its signature."""
    _, one = new_request()
    _, other = new_request()
    ours = x509.load_pem_x509_csr(one).public_bytes(serialization.Encoding.DER)
    key, stolen = requested_key(one), requested_key(other)
    forged = ours.replace(key, stolen)
    assert forged != ours
    return x509.load_der_x509_csr(forged).public_bytes(serialization.Encoding.PEM)


REFUSED = {
    "no request": (lambda: b"hello", "not a certificate request"),
    "a certificate": (lambda: root_of().certificate, "not a certificate request"),
    "an RSA key": (_rsa_request, "not for an ECDSA P-256 key"),
    "a key that did not sign it": (_anothers_request, "not signed by its own key"),
    "too much": (lambda: b"x" * 5000, "too large"),
}


@pytest.mark.parametrize(("request_of", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses_requests(request_of: "object", message: str) -> None:
    assert callable(request_of)
    with pytest.raises(InvalidInputError, match=message):
        sign(root_of(), request_of(), WHO, NOW, DAY)


def test_the_same_key_is_the_same_in_two_requests() -> None:
    _, request = new_request()
    _, other = new_request()
    assert requested_key(request) == requested_key(request) != requested_key(other)


def test_a_damaged_root_is_said_to_be() -> None:
    _, request = new_request()
    with pytest.raises(SystemFailureError, match="root certificate is damaged"):
        sign(Root(certificate=b"?", key=b"?"), request, WHO, NOW, DAY)
    with pytest.raises(SystemFailureError, match="damaged"):
        trust_in(b"?")


def test_a_roots_key_does_not_show_in_its_representation() -> None:
    assert "PRIVATE" not in repr(root_of())


def test_trust_is_shown_as_docker_shows_it() -> None:
    trust = trust_in(root_of().certificate)
    assert trust.trust_root.startswith("-----BEGIN CERTIFICATE-----")
    assert b"swarm-ca" in trust.cert_issuer_subject
    assert len(trust.cert_issuer_public_key) == 91


def test_what_every_start_loads_does_not_load_what_only_signing_needs() -> None:
    loading = (
        "import sys, common.pki.files, common.pki.tokens; print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", loading], capture_output=True, check=True)
    assert done.stdout == b"False\n"
