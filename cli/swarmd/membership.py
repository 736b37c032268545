"""What this node remembers of the swarm that it belongs to."""

from dataclasses import dataclass
from pathlib import Path

from cli.swarmd.addresses import with_port
from common.codec import CodecError, decode, encode
from common.errors import SystemFailureError
from common.files import replace_durably, sync_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """This node in its swarm."""

    node_id: str
    address: str
    """The address that it advertises, without a port."""
    cluster_id: str = ""
    member_id: str = ""
    """Its id in the replicated log; "" on a worker."""
    port: int = 0
    """The port that it advertises."""
    listen_host: str = ""
    """Where its cluster listener is bound."""
    listen_port: int = 0
    managers: tuple[str, ...] = ()
    """``host:port`` of managers, as they were known last."""
    is_joining: bool = False
    """Whether the leader has not been seen to take it in yet."""
    removed: str = ""
    """Why it is no part of the swarm any more; "" while it is."""
    is_promoted: bool = False
    """Whether it was a worker before it began to join the managers, and goes on as one should it not get there."""

    @property
    def cluster_address(self) -> str:
        """``host:port`` at which other nodes reach its listener."""
        return with_port(self.address, self.port)


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
            membership = decode(Membership, self._path.read_bytes())
        except FileNotFoundError:
            return None
        except CodecError as error:
            raise SystemFailureError(f"{self._path} is damaged: {error}") from error
        except OSError as error:
            raise SystemFailureError(
                f"cannot read {self._path}: {error.strerror or error}"
            ) from error
        if not membership.cluster_id:
            raise SystemFailureError(
                f"{self._path} is of a swarm that a swarmd before certificates has made",
                hint=f"remove {self._path} and make the swarm again",
            )
        return membership

    def write(self, membership: Membership) -> None:
        """Remembers it, on disk when this returns.

        Raises:
            SystemFailureError: the disk refused; what was remembered before stands.
        """
        try:
            replace_durably(self._path, encode(membership))
        except OSError as error:
            raise SystemFailureError(
                f"cannot remember the swarm on disk: {error.strerror or error}"
            ) from error

    def remove(self) -> None:
        """Forgets it, on disk when this returns."""
        self._path.unlink(missing_ok=True)
        if self._path.parent.exists():
            sync_directory(self._path.parent)
