"""Which certificate authorities may be brought along; and that nodes believe what those sign."""

import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from common.errors import InvalidInputError
from common.model.node import Role
from common.pki.authority import Root, cross_sign
from common.pki.contexts import client_context, server_context
from common.pki.given_root import PEM_CHARACTERS_MAX, read_root
from common.pki.identity import MANAGER_NAME
from tests.support.pki import NOW, credentials, identity, root_of

YEAR = 365 * 24 * 3600.0
P256 = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
USAGE = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # noqa: FBT003 - as it is written
NO_SIGNING = x509.KeyUsage(True, False, False, False, False, False, False, False, False)  # noqa: FBT003 - as it is written
AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)
Extension = tuple[x509.ExtensionType, bool]


def moment(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(at), datetime.UTC)


def made(
    *,
    key: object = P256,
    signer: object = None,
    name: str = "theirs",
    issuer: str | None = None,
    since: float = NOW - YEAR,
    until: float = NOW + 10 * YEAR,
    ca: Extension | None = (AUTHORITY, True),
    usage: Extension | None = (USAGE, True),
    more: tuple[Extension, ...] = (),
    identifier: bool = True,
) -> tuple[str, str]:
    """A root as OpenSSL or another tool could have made it: certificate and key."""
    public = key.public_key()  # type: ignore[attr-defined]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]) if issuer else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(public)
        .serial_number(1)
        .not_valid_before(moment(since))
        .not_valid_after(moment(until))
    )
    for extension in (ca, usage, *more):
        if extension is not None:
            builder = builder.add_extension(extension[0], critical=extension[1])
    if identifier:
        found = x509.SubjectKeyIdentifier.from_public_key(public)
        builder = builder.add_extension(found, critical=False)
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey)
    signed = builder.sign(signer or key, None if is_edwards else hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.PEM).decode(), pem_of(key)


def pem_of(key: object, password: bytes | None = None) -> str:
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    pem: bytes = key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return pem.decode()


def believed(root: Root, trust: bytes, directory: Path) -> bool:
    """Whether a manager and a worker with certificates of this root come to speak."""
    ends = {}
    for name, role in (("s", Role.MANAGER), ("c", Role.WORKER)):
        own = credentials(identity(name, role), root, now=NOW, lifetime_seconds=YEAR)
        (directory / f"{name}.crt").write_bytes(own.certificate)
        (directory / f"{name}.key").write_bytes(own.key)
        make = server_context if name == "s" else client_context
        ends[name] = make(trust, directory / f"{name}.crt", directory / f"{name}.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = ends["s"].wrap_bio(to_server, to_client, server_side=True)
    there = ends["c"].wrap_bio(to_client, to_server, server_hostname=MANAGER_NAME)
    done = 0
    for end in (there, here, there, here):
        try:
            end.do_handshake()
            done += 1
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return done > 1


TAKEN: dict[str, Callable[[], tuple[str, str]]] = {
    "ECDSA P-256": made,
    "ECDSA P-384": lambda: made(key=ec.generate_private_key(ec.SECP384R1())),
    "RSA": lambda: made(key=RSA),
    "one that allows one authority below it": lambda: made(
        ca=(x509.BasicConstraints(ca=True, path_length=1), True)
    ),
    "one with an identifier of another making": lambda: made(
        identifier=False, more=((x509.SubjectKeyIdentifier(b"12345678"), False),)
    ),
    "one of our own": lambda: (root_of().certificate.decode(), root_of().key.decode()),
}


@pytest.mark.parametrize("case", TAKEN)
def test_taken_and_believed_before_and_after_it_is_the_root(case: str, tmp_path: Path) -> None:
    root = read_root(*TAKEN[case](), NOW)
    assert believed(root, root.certificate, tmp_path)
    old = root_of("old")
    between = cross_sign(old, root.certificate, NOW)
    following = Root(certificate=root.certificate, key=root.key, chain=between)
    assert believed(following, old.certificate, tmp_path)
    next_one = root_of("next")
    between = cross_sign(root, next_one.certificate, NOW)
    following = Root(certificate=next_one.certificate, key=next_one.key, chain=between)
    assert believed(following, root.certificate, tmp_path), "the next change can be made"


CERTIFICATE, KEY = made()
REFUSED: dict[str, tuple[Callable[[], tuple[str, str]], str]] = {
    "nothing": (lambda: ("", KEY), "not one in PEM"),
    "no certificate": (lambda: ("hello", KEY), "not one in PEM"),
    "a huge one": (lambda: ("x" * (PEM_CHARACTERS_MAX + 1), KEY), "longer than"),
    "two": (lambda: (CERTIFICATE * 2, KEY), "multiple certificates"),
    "no key": (lambda: (CERTIFICATE, "hello"), "not a private key"),
    "a huge key": (lambda: (CERTIFICATE, "x" * (PEM_CHARACTERS_MAX + 1)), "longer than"),
    "an encrypted key": (lambda: (CERTIFICATE, pem_of(P256, b"word")), "encrypted"),
    "another key": (lambda: (CERTIFICATE, pem_of(RSA)), "not that of the CA key"),
    "a short RSA key": (
        lambda: made(key=rsa.generate_private_key(65537, 1024)),
        "1024 bits",
    ),
    "another curve": (lambda: made(key=ec.generate_private_key(ec.SECP256K1())), "another curve"),
    "another kind of key": (
        lambda: made(key=ed25519.Ed25519PrivateKey.generate()),
        "neither ECDSA nor RSA",
    ),
    "one that another has signed": (lambda: made(issuer="above", signer=RSA), "not self-signed"),
    "one whose signature is another's": (lambda: made(signer=RSA), "not self-signed"),
    "one without a name": (lambda: made(name=""), "no subject"),
    "a node's": (lambda: made(ca=(x509.BasicConstraints(False, None), True)), "authority"),  # noqa: FBT003 - as it is written
    "one that does not say what it is": (lambda: made(ca=None), "authority"),
    "one that says it by the way": (
        lambda: made(ca=(x509.BasicConstraints(ca=True, path_length=None), False)),
        "critical",
    ),
    "one that allows none below it": (
        lambda: made(ca=(x509.BasicConstraints(ca=True, path_length=0), True)),
        "path length 0",
    ),
    "one without a key usage": (lambda: made(usage=None), "keyCertSign"),
    "one that may not sign": (lambda: made(usage=(NO_SIGNING, True)), "keyCertSign"),
    "one without an identifier": (lambda: made(identifier=False), "subject key identifier"),
    "one with names that it may sign for": (
        lambda: made(more=((x509.NameConstraints([x509.DNSName("a")], None), True),)),
        "critical extensions",
    ),
    "one that is not valid yet": (lambda: made(since=NOW + 1), "not valid yet"),
    "one that ends within a year": (lambda: made(until=NOW + YEAR - 1), "expires too soon"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    make, why = REFUSED[case]
    with pytest.raises(InvalidInputError, match=why):
        read_root(*make(), NOW)
