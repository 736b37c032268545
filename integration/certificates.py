"""Certificates for tests of the API over TCP."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = datetime.timedelta(days=1)


class Authority:
    """One that signs."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"authority {name}")
        self.certificate = (
            _builder(self._name, self._key)
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def write_client(self, directory: Path, *, trusts: "Authority") -> None:
        """A client's ``key.pem`` and ``cert.pem``, and the ``ca.pem`` of whom it trusts."""
        self._write(directory, ExtendedKeyUsageOID.CLIENT_AUTH, "127.0.0.1", trusts)

    def write_server(self, directory: Path, address: str) -> None:
        """The same for a server."""
        self._write(directory, ExtendedKeyUsageOID.SERVER_AUTH, address, self)

    def _write(
        self, directory: Path, use: x509.ObjectIdentifier, address: str, trusts: "Authority"
    ) -> None:
        directory.mkdir()
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_named(directory.name), key)
            .issuer_name(self._name)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (directory / "ca.pem").write_bytes(trusts.certificate.public_bytes(pem))
        (directory / "cert.pem").write_bytes(certificate.public_bytes(pem))
        (directory / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)  # noqa: UP017
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
    )
