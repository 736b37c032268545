"""What this node remembers of the swarm that it belongs to."""

from dataclasses import dataclass
from pathlib import Path

from common.codec import CodecError, decode, encode
from common.errors import SystemFailureError
from common.files import replace_durably, sync_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """This node in its swarm."""

    node_id: str
    address: str
    """The address that it advertises."""


class MembershipFile:
    """``<data-root>/swarm/node``: there while, and only while, this node is in a swarm."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Membership | None:
        """The membership; None outside of a swarm.

        Raises:
            SystemFailureError: the file is damaged.
        """
        try:
            return decode(Membership, self._path.read_bytes())
        except FileNotFoundError:
            return None
        except CodecError as error:
            raise SystemFailureError(f"{self._path} is damaged: {error}") from error
        except OSError as error:
            raise SystemFailureError(
                f"cannot read {self._path}: {error.strerror or error}"
            ) from error

    def write(self, membership: Membership) -> None:
        """Remembers it, on disk when this returns."""
        replace_durably(self._path, encode(membership))

    def remove(self) -> None:
        """Forgets it, on disk when this returns."""
        self._path.unlink(missing_ok=True)
        if self._path.parent.exists():
            sync_directory(self._path.parent)
