"""A refusal, as it travels from a container's set-up to the supervisor and on to the client.

``common.errors`` is not at hand in the supervisor, which runs without installed packages; the client turns a
refusal's kind into one of those errors.
"""

INVALID = "invalid"
"""What was asked for cannot be: no such program, no such user."""
CONFLICT = "conflict"
NOT_FOUND = "not found"
UNAVAILABLE = "unavailable"
SYSTEM = "system"
"""The machine refused."""

_KINDS = (INVALID, CONFLICT, NOT_FOUND, UNAVAILABLE, SYSTEM)
MESSAGE_MAX = 4096


class Refusal(Exception):  # noqa: N818 - an answer, which happens to be raised
    """A kind and a sentence."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message

    def encode(self) -> bytes:
        """Bytes for a pipe."""
        return f"{self.kind}\n{self.message[:MESSAGE_MAX]}".encode(errors="replace")


def decode_refusal(content: bytes) -> Refusal:
    """The opposite of ``encode``; content that is none becomes a refusal of the system's."""
    kind, _, message = content.decode(errors="replace").partition("\n")
    if kind not in _KINDS:
        return Refusal(SYSTEM, f"unreadable report: {content[:100]!r}")
    return Refusal(kind, message)


def describe(error: BaseException) -> str:
    """One line about an error of the operating system or of our own."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"
