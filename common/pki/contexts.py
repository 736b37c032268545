"""How TLS is spoken within a cluster: version 1.3, our root and no other, no resumed sessions."""

import ssl
from pathlib import Path

from common.errors import SystemFailureError


def server_context(
    root: bytes, certificate: Path, key: Path, passphrase: bytes = b""
) -> ssl.SSLContext:
    """For the cluster listener. A client may show no certificate; one that it shows must be of our root and in date.

    Raises:
        SystemFailureError: the files cannot be read, or do not belong together.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, root)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.num_tickets = 0  # a resumed session would not look at the certificate's dates again
    load_identity(context, certificate, key, passphrase)
    return context


def client_context(
    root: bytes,
    certificate: Path | None = None,
    key: Path | None = None,
    passphrase: bytes = b"",
) -> ssl.SSLContext:
    """For dialling managers: ``server_hostname`` is to be ``common.pki.identity.MANAGER_NAME``.

    Raises:
        SystemFailureError: the files cannot be read, or do not belong together.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, root)
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    if certificate is not None and key is not None:
        load_identity(context, certificate, key, passphrase)
    return context


def stranger_context() -> ssl.SSLContext:
    """For asking somebody for a root that a digest then proves: trusts nobody, believes nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def load_identity(
    context: ssl.SSLContext, certificate: Path, key: Path, passphrase: bytes = b""
) -> None:
    """Gives a context another certificate; connections made from now on show it.

    ``passphrase`` is of no account where the key is in clear. Without one an encrypted key is an error: left to itself
    OpenSSL would ask on the terminal.

    Raises:
        SystemFailureError: the files cannot be read, or do not belong together.
    """
    try:
        context.load_cert_chain(certificate, key, password=passphrase)
    except OSError as error:  # ssl.SSLError is one
        raise SystemFailureError(
            f"cannot use {certificate} with {key}: {error.strerror or error}"
        ) from error


def _context(kind: "ssl._SSLMethod", root: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(kind)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(cadata=root.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise SystemFailureError(f"the cluster's root certificate is damaged: {error}") from error
    return context
