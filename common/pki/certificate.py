"""What a node's certificate says. Slow to load: import it where it is used."""

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from common.errors import SystemFailureError, UnauthorizedError
from common.model.node import TlsInfo
from common.pki.identity import ROLE_OF_UNIT
from common.pki.renewal import CertificateFacts

CERTIFICATES_MAX: Final = 8
"""Looked at in one bundle of PEM; ours have one or two."""


def facts_of(certificate: bytes, trust: bytes) -> CertificateFacts:
    """Reads a node's certificate (PEM; others may follow it). Its issuer is one of those, or one of ``trust`` (PEM).

    Raises:
        SystemFailureError: it is not a node's certificate, or its issuer is not there.
    """
    leaf, *chain = _certificates(certificate)
    issuer = _issuer_of(leaf, [*chain, *_certificates(trust)])
    try:
        role = ROLE_OF_UNIT[_named(leaf, NameOID.ORGANIZATIONAL_UNIT_NAME)]
        node_id = _named(leaf, NameOID.COMMON_NAME)
        cluster_id = _named(leaf, NameOID.ORGANIZATION_NAME)
    except (KeyError, UnauthorizedError) as error:
        raise SystemFailureError("the certificate is not a node's") from error
    return CertificateFacts(
        node_id=node_id,
        role=role,
        cluster_id=cluster_id,
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        issuer_subject=leaf.issuer.public_bytes(),
        issuer_public_key=key_in(issuer),
    )


def tls_info_of(certificate: bytes, trust: bytes) -> TlsInfo:
    """Whom a node trusts and who issued its certificate, as the Engine API shows it and as it tells the managers.

    Raises:
        SystemFailureError: as ``facts_of``.
    """
    facts = facts_of(certificate, trust)
    return TlsInfo(
        trust_root=trust.decode(),
        cert_issuer_subject=facts.issuer_subject,
        cert_issuer_public_key=facts.issuer_public_key,
    )


def public_key_in(certificate: bytes) -> bytes:
    """The public key (DER SubjectPublicKeyInfo) in the first certificate of some PEM.

    Raises:
        SystemFailureError: it is not a certificate.
    """
    return key_in(_certificates(certificate)[0])


def key_in(certificate: x509.Certificate) -> bytes:
    """Its public key as DER."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def bundle(*roots: bytes) -> bytes:
    """Roots, each in PEM, as one PEM in which each stands once, in this order."""
    found = dict.fromkeys(root.strip() + b"\n" for root in roots if root.strip())
    return b"".join(found)


def _certificates(pem: bytes) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise SystemFailureError(f"a certificate is damaged: {error}") from error
    if len(found) > CERTIFICATES_MAX:
        raise SystemFailureError(f"more than {CERTIFICATES_MAX} certificates in one file")
    return found


def _issuer_of(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> x509.Certificate:
    for other in others:
        try:
            leaf.verify_directly_issued_by(other)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return other
    raise SystemFailureError("the node's certificate is of none of the roots that it trusts")


def _named(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(kind)
    if len(found) != 1 or not isinstance(found[0].value, str) or not found[0].value:
        raise UnauthorizedError("the certificate is not a node's")
    return found[0].value
