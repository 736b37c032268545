"""What the helper that reads and writes containers' trees is told, and how it answers."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Work(StrEnum):
    """What there is to do."""

    STAT = "stat"
    GET = "get"
    PUT = "put"
    EXPORT = "export"
    CHANGES = "changes"
    LAYER = "layer"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeMount:
    """A mount of a container that does not run."""

    target: str
    source: str
    subpath: str = ""
    read_only: bool = False
    recursive: bool = True
    options: Mapping[str, str] = field(default_factory=dict)
    """Of a volume: what is mounted at its source, if it is not already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOrder:
    """One piece of work on one container's tree."""

    work: Work
    container: str
    """How messages call it."""
    pid: int = 0
    """Of its first process; 0 when it does not run."""
    lower: tuple[str, ...]
    """Its image's layers, topmost first."""
    upper: str
    overlay_work: str = ""
    place: str
    """A directory that stays empty: what is mounted there only the helper sees."""
    root_read_only: bool = False
    mounts: tuple[TreeMount, ...] = ()
    path: str = ""
    is_strict: bool = False
    as_user: str = ""
    """Whose everything is to be that is extracted, looked up in the container; "" is as the archive says."""

    def encode(self) -> bytes:
        """For the helper's standard input."""
        return json.dumps(asdict(self)).encode()


def decode_order(data: bytes) -> TreeOrder:
    """The opposite of ``encode``."""
    raw: dict[str, Any] = json.loads(data)
    raw["work"] = Work(raw["work"])
    raw["mounts"] = tuple(TreeMount(**one) for one in raw["mounts"])
    raw["lower"] = tuple(raw["lower"])
    return TreeOrder(**raw)
