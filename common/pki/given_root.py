"""A certificate authority that is brought along: whether it can be the root of a cluster. Slow to load."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import BasicConstraints, KeyUsage, SubjectKeyIdentifier

from common.errors import InvalidInputError
from common.pki.authority import AuthorityPrivateKey, Root

E = TypeVar("E", bound=x509.ExtensionType)
PEM_CHARACTERS_MAX: Final = 32 * 1024
"""Of the certificate, and of the key."""
ROOT_SECONDS_MIN: Final = 365 * 24 * 3600.0
"""How long it has to live still; Docker's number."""
RSA_BITS_MIN: Final = 2048
RSA_BITS_MAX: Final = 8192
_KNOWN_CRITICAL: Final = frozenset({BasicConstraints.oid, KeyUsage.oid})


def read_root(certificate: str, key: str, now: float) -> Root:
    """A root as a user has given it, in PEM, written as ours are.

    Raises:
        InvalidInputError: it cannot be one: nodes would not believe what it signs. Says why.
    """
    root, signs = _read_certificate(certificate), _read_key(key)
    if root.public_key() != signs.public_key():
        raise InvalidInputError("the CA certificate is not that of the CA key")
    for why, is_wrong in _FAULTS.items():
        if is_wrong(root):
            raise InvalidInputError(f"the CA certificate {why}")
    if root.not_valid_before_utc.timestamp() > now:
        raise InvalidInputError("the CA certificate is not valid yet")
    if root.not_valid_after_utc.timestamp() < now + ROOT_SECONDS_MIN:
        raise InvalidInputError("the CA certificate expires too soon: within a year")
    return Root(
        certificate=root.public_bytes(serialization.Encoding.PEM),
        key=signs.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _read_certificate(text: str) -> x509.Certificate:
    if len(text) > PEM_CHARACTERS_MAX:
        raise InvalidInputError(f"the CA certificate is longer than {PEM_CHARACTERS_MAX} bytes")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
    except ValueError:
        raise InvalidInputError("the CA certificate is not one in PEM") from None
    if len(found) != 1:
        raise InvalidInputError("the CA certificate cannot contain multiple certificates")
    try:
        found[0].public_key()
        list(found[0].extensions)
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputError("the CA certificate cannot be read") from None
    return found[0]


def _read_key(text: str) -> AuthorityPrivateKey:
    if len(text) > PEM_CHARACTERS_MAX:
        raise InvalidInputError(f"the CA key is longer than {PEM_CHARACTERS_MAX} bytes")
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise InvalidInputError(
            "the CA key is encrypted", hint='decrypt it first: "openssl pkey -in …"'
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputError("the CA key is not a private key in PEM") from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            raise InvalidInputError("the CA key is on another curve than P-256, P-384 or P-521")
        return key
    if isinstance(key, rsa.RSAPrivateKey):
        if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
            raise InvalidInputError(
                f"the CA key has {key.key_size} bits: {RSA_BITS_MIN} to {RSA_BITS_MAX} are taken"
            )
        return key
    raise InvalidInputError("the CA key is neither ECDSA nor RSA")


def _is_not_self_signed(root: x509.Certificate) -> bool:
    try:
        root.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return True
    return False


def _is_no_authority(root: x509.Certificate) -> bool:
    found = _extension(root, BasicConstraints)
    return found is None or not found.critical or not found.value.ca


def _is_last(root: x509.Certificate) -> bool:
    found = _extension(root, BasicConstraints)
    return found is not None and found.value.path_length == 0


def _may_not_sign(root: x509.Certificate) -> bool:
    found = _extension(root, KeyUsage)
    return found is None or not found.value.key_cert_sign


def _extension(root: x509.Certificate, kind: type[E]) -> x509.Extension[E] | None:
    try:
        return root.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


_FAULTS: Final[Mapping[str, Callable[[x509.Certificate], bool]]] = {
    "is not self-signed: only a root can be the swarm's": _is_not_self_signed,
    "has no subject": lambda root: not list(root.subject),
    "is not that of an authority: it needs critical basic constraints with CA:TRUE": _is_no_authority,
    "allows no authority below it (path length 0), as the next change of the root needs": _is_last,
    "does not allow to sign certificates: it needs a key usage with keyCertSign": _may_not_sign,
    "has no subject key identifier": lambda root: _extension(root, SubjectKeyIdentifier) is None,
    "has critical extensions beside basic constraints and key usage": lambda root: any(
        one.critical and one.oid not in _KNOWN_CRITICAL for one in root.extensions
    ),
}
