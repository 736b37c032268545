"""The cluster's certificate authority, as it is stored, read: who issues, and whom to trust."""

from functools import lru_cache
from typing import TYPE_CHECKING

from common.model.cluster import RootCa, RootRotation

if TYPE_CHECKING:
    from common.pki.authority import Root  # slow to load


def issuing_root(root: RootCa) -> "Root":
    """What certificates are signed by: the next root, once there is one."""
    from common.pki.authority import Root  # noqa: PLC0415 - slow to load

    following = root.rotation
    if following is None:
        return Root(certificate=root.certificate, key=root.key)
    return Root(certificate=following.certificate, key=following.key, chain=following.cross_signed)


def issuer_key(root: RootCa) -> bytes:
    """The public key (DER) of that root. Takes long the first time.

    Raises:
        SystemFailureError: the root is damaged.
    """
    return _public_key((root.rotation or root).certificate)


def trust_of(root: RootCa) -> bytes:
    """The roots to trust now (PEM): the next one, too, once there is one. Takes long the first time."""
    return _bundle(root.certificate, b"" if root.rotation is None else root.rotation.certificate)


def trusts(trust_root: str, following: RootRotation) -> bool:
    """Whether a node that trusts these roots trusts the next one."""
    return following.certificate.strip().decode("ascii", "replace") in trust_root


@lru_cache(maxsize=8)
def _public_key(certificate: bytes) -> bytes:
    from common.pki.certificate import public_key_in  # noqa: PLC0415 - slow to load

    return public_key_in(certificate)


@lru_cache(maxsize=8)
def _bundle(*certificates: bytes) -> bytes:
    from common.pki.certificate import bundle  # noqa: PLC0415 - slow to load

    return bundle(*certificates)
