"""A file that a container gets beside its image: a secret or a config, as plain values."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFile:
    """One file. It is in memory only: of the container's record it is no part."""

    path: str
    """Absolute, in the container."""
    data: bytes = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o444
