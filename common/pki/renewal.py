"""When a node asks for a new certificate. Pure."""

from dataclasses import dataclass
from typing import Final, Protocol

from common.model.node import Role

EARLIEST: Final = 0.5
LATEST: Final = 0.8
"""Parts of a certificate's life between which it is renewed, so that nodes that joined together do not ask together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """A node's certificate, read (``common.pki.certificate.facts_of``)."""

    node_id: str
    role: Role
    cluster_id: str
    not_before: float
    not_after: float
    """Seconds since the epoch."""
    issuer_subject: bytes
    """DER."""
    issuer_public_key: bytes
    """DER (SubjectPublicKeyInfo)."""


class Told(Protocol):
    """What the managers tell a node (``common.protocol.messages.NodeTold``)."""

    @property
    def role(self) -> Role:
        """The role that its certificate is to have."""
        ...

    @property
    def issuer(self) -> bytes:
        """The public key of the authority that it is to be of; empty: it does not matter yet."""
        ...


def renew_at(facts: CertificateFacts, chance: float) -> float:
    """The moment (seconds since the epoch) to renew at; ``chance`` is drawn once per certificate, in 0…1."""
    life = facts.not_after - facts.not_before
    return facts.not_before + life * (EARLIEST + (LATEST - EARLIEST) * chance)


def must_renew(facts: CertificateFacts, told: Told | None, now: float) -> bool:
    """Whether to renew at once: the certificate is late, or differs from what the managers tell (None: nothing yet)."""
    if now >= renew_at(facts, 1.0):
        return True
    if told is None:
        return False
    return facts.role is not told.role or (
        bool(told.issuer) and told.issuer != facts.issuer_public_key
    )
