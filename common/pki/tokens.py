"""Join tokens, as Docker's: ``SWMTKN-1-<digest of the root>-<secret>``, both in base 36.

The digest lets whoever joins tell the right cluster before it says anything; the secret lets it in, and says as what.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from typing_extensions import override

from common.errors import InvalidInputError

PREFIX: Final = "SWMTKN"
VERSION: Final = "1"
DIGEST_DIGITS: Final = 50
SECRET_DIGITS: Final = 25
SECRET_BITS: Final = 128
TOKEN_CHARACTERS_MAX: Final = 128
"""Of what is looked at at all; a token has 85."""
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_HINT: Final = 'ask a manager for it: "swarmctl swarm join-token worker"'
_DIGITS: Final = re.compile(r"[0-9a-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """What a node shows in order to be let in."""

    root_digest: int
    """SHA-256 of the root certificate's PEM."""
    secret: str = field(repr=False)

    @override
    def __str__(self) -> str:
        return f"{PREFIX}-{VERSION}-{_base36(self.root_digest, DIGEST_DIGITS)}-{self.secret}"

    def is_for(self, root_certificate: bytes) -> bool:
        """Whether this root is the one that the token means."""
        return digest_of(root_certificate) == self.root_digest


def new_token(root_certificate: bytes) -> JoinToken:
    """A token with a new secret, of the operating system's randomness."""
    secret = _base36(secrets.randbits(SECRET_BITS), SECRET_DIGITS)
    return JoinToken(root_digest=digest_of(root_certificate), secret=secret)


def is_same_token(one: str, other: str) -> bool:
    """Whether two tokens are equal and not empty; takes as long wherever they differ."""
    return bool(one) and hmac.compare_digest(_octets(one), _octets(other))


def _octets(token: str) -> bytes:
    return token.encode("utf-8", "surrogatepass")  # JSON can spell half a letter


def parse_token(text: str) -> JoinToken:
    """Reads a token as a user has written it.

    Raises:
        InvalidInputError: it cannot be one; says what is wrong with it, never what stands in it.
    """
    parts = text.strip().split("-") if len(text) <= TOKEN_CHARACTERS_MAX else []
    if parts[:1] != [PREFIX]:
        raise InvalidInputError(
            f"invalid join token: it does not begin with {PREFIX}-{VERSION}-", hint=_HINT
        )
    if parts[1:2] != [VERSION]:
        raise InvalidInputError(
            f"invalid join token: only version {VERSION} is known",
            hint="it comes from a newer cluster, or from one in FIPS mode",
        )
    if len(parts) != 4:  # noqa: PLR2004 - prefix, version, digest, secret
        raise InvalidInputError(
            "invalid join token: it does not have four parts between dashes", hint=_HINT
        )
    _, _, digest, secret = parts
    _check_digits("digest", digest, DIGEST_DIGITS)
    _check_digits("secret", secret, SECRET_DIGITS)
    return JoinToken(root_digest=int(digest, 36), secret=secret)


def digest_of(root_certificate: bytes) -> int:
    """SHA-256 of a root's PEM, as tokens carry it."""
    return int.from_bytes(hashlib.sha256(root_certificate).digest(), "big")


def _check_digits(name: str, text: str, digits: int) -> None:
    if len(text) != digits:
        raise InvalidInputError(
            f"invalid join token: its {name} has {len(text)} characters, not {digits}",
            hint="was it copied whole?",
        )
    if not _DIGITS.fullmatch(text):
        raise InvalidInputError(
            f"invalid join token: its {name} has characters that are neither digits nor small letters",
            hint=_HINT,
        )


def _base36(number: int, digits: int) -> str:
    found = []
    for _ in range(digits):
        number, digit = divmod(number, 36)
        found.append(_ALPHABET[digit])
    return "".join(reversed(found))
