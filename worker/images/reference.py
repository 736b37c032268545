"""Image references as Docker writes them: ``web``, ``web:1``, ``registry:5000/team/web@sha256:…``."""

import re
from dataclasses import dataclass

from typing_extensions import override

from common.errors import InvalidInputError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LENGTH_MAX = 255

_DOMAIN = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
    r"(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
)
_PATH = re.compile(
    r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_HEX_ID = re.compile(r"[0-9a-f]{64}")
_ID_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")
_SHA256 = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A name in a registry, with a tag or a digest or neither."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def familiar_name(self) -> str:
        """The name without tag and digest, as people write it."""
        if self.domain != DEFAULT_DOMAIN:
            return f"{self.domain}/{self.path}"
        head, _, tail = self.path.partition("/")
        return tail if head == "library" and "/" not in tail and tail else self.path

    @property
    def familiar(self) -> str:
        """As people write it: "web:1"."""
        return self.familiar_name + self._ending()

    @override
    def __str__(self) -> str:
        return f"{self.domain}/{self.path}{self._ending()}"

    def tagged(self) -> "Reference":
        """The same with ``latest`` when it has neither tag nor digest."""
        if self.tag or self.digest:
            return self
        return Reference(domain=self.domain, path=self.path, tag=DEFAULT_TAG)

    def _ending(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return tag + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Reads a reference; the tag stays empty when there is none.

    Raises:
        InvalidInputError: in the words of Docker.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise InvalidInputError("invalid reference format")
    if _HEX_ID.fullmatch(rest):
        raise InvalidInputError(
            f"invalid repository name ({rest}), cannot specify 64-byte hexadecimal strings"
        )
    name, tag = _split_tag(rest)
    domain, path = _split_domain(name)
    if path != path.lower() and _PATH.fullmatch(path.lower()):
        raise InvalidInputError(
            f"invalid reference format: repository name ({path}) must be lowercase"
        )
    if not _PATH.fullmatch(path) or not _DOMAIN.fullmatch(domain):
        raise InvalidInputError("invalid reference format")
    if len(domain) + 1 + len(path) > NAME_LENGTH_MAX:
        raise InvalidInputError(
            f"repository name must not be more than {NAME_LENGTH_MAX} characters"
        )
    return Reference(domain=domain, path=path, tag=tag, digest=digest)


def id_prefix(text: str) -> str | None:
    """The hexadecimal digits of what may be (the beginning of) an image's id, or None."""
    match = _ID_PREFIX.fullmatch(text)
    return match[1] if match else None


def is_digest(text: str) -> bool:
    """Whether this is "sha256:" and 64 hexadecimal digits."""
    return text.startswith(_SHA256) and _HEX_ID.fullmatch(text[len(_SHA256) :]) is not None


def _split_tag(text: str) -> tuple[str, str]:
    head, colon, tail = text.rpartition(":")
    if not colon or "/" in tail:
        return text, ""
    if not _TAG.fullmatch(tail):
        raise InvalidInputError("invalid reference format")
    return head, tail


def _split_domain(name: str) -> tuple[str, str]:
    head, slash, tail = name.partition("/")
    looks_like_host = "." in head or ":" in head or head == "localhost" or head != head.lower()
    if not slash or not looks_like_host:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = ("docker.io" if head == "index.docker.io" else head), tail
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    return domain, path
