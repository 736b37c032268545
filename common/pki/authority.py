"""Makes a cluster's root and signs the certificates of its nodes. Slow to load: import it where it is used."""

import datetime
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from common.errors import InvalidInputError, SystemFailureError
from common.model.node import TlsInfo
from common.pki.identity import UNIT_OF_ROLE, PeerIdentity

ROOT_NAME: Final = "swarm-ca"
ROOT_YEARS: Final = 20
BACKDATED_SECONDS: Final = 3600.0
"""How far the clocks of nodes may be behind."""
CERTIFICATE_SECONDS_MIN: Final = 3600.0
"""Docker's least life of a node's certificate."""
REQUEST_BYTES_MAX: Final = 4096
"""Of a certificate request's PEM; ours have about 400."""
_YEAR_SECONDS: Final = 365 * 24 * 3600.0
AuthorityPrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""What a root may sign with. Our own is ECDSA P-256; a root that is given may be either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A certificate authority: what everybody may know, and what nobody else may."""

    certificate: bytes
    """PEM."""
    key: bytes = field(repr=False)
    """PEM of the private key."""
    chain: bytes = b""
    """PEM that goes along with each certificate, for those who do not trust this root yet: see ``cross_sign``."""


def new_root(now: float) -> Root:
    """A new root, self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ROOT_NAME)])
    # Below it there may be one more authority: the next root, signed by this one while roots change.
    limits = x509.BasicConstraints(ca=True, path_length=1)
    builder = (
        _certificate(name, key.public_key(), now, ROOT_YEARS * _YEAR_SECONDS)
        .issuer_name(name)
        .add_extension(limits, critical=True)
        .add_extension(_usage(of_authority=True), critical=True)
    )
    return Root(certificate=_pem(builder.sign(key, hashes.SHA256())), key=_pem_of_key(key))


def sign(
    root: Root, request: bytes, subject: PeerIdentity, now: float, lifetime_seconds: float
) -> bytes:
    """A node's certificate (PEM) for the key in a certificate request; whatever else it asks for is not looked at.

    It does not outlive the root. The root's ``chain`` follows it.

    Raises:
        InvalidInputError: the request is no request, is not signed by its own key, or its key is of another kind.
        SystemFailureError: the root cannot be read.
    """
    key = _requested_key(request)
    issuer, issuer_key = _open_root(root)
    unit = UNIT_OF_ROLE[subject.role]
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject.cluster_id),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, subject.node_id),
        ]
    )
    names = x509.SubjectAlternativeName([x509.DNSName(unit), x509.DNSName(subject.node_id)])
    purposes = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    end = min(
        now + max(lifetime_seconds, CERTIFICATE_SECONDS_MIN), issuer.not_valid_after_utc.timestamp()
    )
    builder = (
        _certificate(name, key, now, end - now)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(of_authority=False), critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(_identifier_of(issuer), critical=False)
        .add_extension(names, critical=False)
    )
    return _pem(builder.sign(issuer_key, hashes.SHA256())) + root.chain


def cross_sign(old: Root, new_certificate: bytes, now: float) -> bytes:
    """The new root's key and name in a certificate (PEM) of the old root's, so that who trusts the old trusts the new.

    Raises:
        SystemFailureError: one of the roots cannot be read.
    """
    issuer, issuer_key = _open_root(old)
    new = _open_certificate(new_certificate)
    end = min(
        moment.timestamp() for moment in (issuer.not_valid_after_utc, new.not_valid_after_utc)
    )
    key, identifier = _authority_key(new.public_key()), _identifier_in(new)
    builder = (
        x509.CertificateBuilder()
        .subject_name(new.subject)
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - BACKDATED_SECONDS))
        .not_valid_after(_moment(end))
        .add_extension(identifier, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(of_authority=True), critical=True)
        .add_extension(_identifier_of(issuer), critical=False)
    )
    return _pem(builder.sign(issuer_key, hashes.SHA256()))


def requested_key(request: bytes) -> bytes:
    """The public key (DER) that a request (PEM) was made for and signed by.

    Raises:
        InvalidInputError: as ``sign``.
    """
    return _requested_key(request).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def new_request() -> tuple[bytes, bytes]:
    """A new private key, and the request for a certificate for it; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    signed = request.sign(key, hashes.SHA256())
    return _pem_of_key(key), signed.public_bytes(serialization.Encoding.PEM)


def trust_in(root_certificate: bytes) -> TlsInfo:
    """A root as the Engine API shows it (``TLSInfo``).

    Raises:
        SystemFailureError: it is not a certificate.
    """
    certificate = _open_certificate(root_certificate)
    return TlsInfo(
        trust_root=root_certificate.decode(),
        cert_issuer_subject=certificate.subject.public_bytes(),
        cert_issuer_public_key=certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


def _requested_key(request: bytes) -> ec.EllipticCurvePublicKey:
    if len(request) > REQUEST_BYTES_MAX:
        raise InvalidInputError(
            f"certificate request too large: {len(request)} bytes, at most {REQUEST_BYTES_MAX}"
        )
    try:
        asked = x509.load_pem_x509_csr(request)
        key = asked.public_key()
        is_proven = asked.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        raise InvalidInputError("not a certificate request in PEM") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInputError("the certificate request is not for an ECDSA P-256 key")
    if not is_proven:
        raise InvalidInputError("the certificate request is not signed by its own key")
    return key


def _open_root(root: Root) -> tuple[x509.Certificate, AuthorityPrivateKey]:
    certificate = _open_certificate(root.certificate)
    try:
        key = serialization.load_pem_private_key(root.key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SystemFailureError("the cluster's root cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise SystemFailureError("the cluster's root has a key that is neither ECDSA nor RSA")
    return certificate, key


def _open_certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise SystemFailureError(f"the cluster's root certificate is damaged: {error}") from error


def _authority_key(key: object) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise SystemFailureError("the cluster's root has a key that is neither ECDSA nor RSA")
    return key


def _identifier_of(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(_identifier_in(issuer))


def _identifier_in(certificate: x509.Certificate) -> x509.SubjectKeyIdentifier:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        raise SystemFailureError("the cluster's root has no subject key identifier") from None


def _certificate(
    name: x509.Name, key: ec.EllipticCurvePublicKey, now: float, lifetime_seconds: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(now - BACKDATED_SECONDS))
        .not_valid_after(_moment(now + lifetime_seconds))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, of_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not of_authority,
        key_cert_sign=of_authority,
        crl_sign=of_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
