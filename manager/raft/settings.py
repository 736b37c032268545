"""What may be set about the replication: times and bounds, the same on every member."""

from dataclasses import dataclass

from manager.raft.log import ENTRY_BYTES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftSettings:
    """Times and bounds; README.md says how the times were chosen."""

    heartbeat_seconds: float = 0.2
    """How often a leader speaks at least."""
    election_seconds_min: float = 0.8
    """A member that hears nothing of a leader for this long, or up to the maximum, campaigns."""
    election_seconds_max: float = 1.6
    """A leader that hears no majority for this long steps down."""
    lost_link_seconds_max: float = 0.15
    """When the link to the leader breaks (its process ended), a campaign begins within this time."""
    leader_wait_seconds: float = 3.0
    """How long after the leader was lost a proposal waits for the next one; later ones are refused at once."""

    append_bytes_max: int = 1024 * 1024
    """Commands in one message (at least one, however large)."""
    append_entries_max: int = 2048
    in_flight_bytes_max: int = 2 * ENTRY_BYTES_MAX
    """Commands sent to one peer and not acknowledged yet."""
    in_flight_entries_max: int = 16_384

    snapshot_entries: int = 50_000
    """A snapshot is made after this many entries …"""
    snapshot_bytes: int = 64 * 1024 * 1024
    """… or after this many bytes of commands."""
    kept_entries: int = 10_000
    """Entries that stay in the log below a snapshot, so that a member that lags a little needs no snapshot …"""
    kept_bytes: int = 32 * 1024 * 1024
    """… unless their commands are larger than this."""
    log_bytes_max: int = 1024 * 1024 * 1024
    """Commands in the log, all in memory: beyond this nothing is proposed before a snapshot has let some of it go."""
    snapshot_stall_seconds: float = 3.0
    """A follower that asks for the same part for this long is sent it again."""
    snapshot_parts_in_flight: int = 4
    """Parts of a snapshot that are sent ahead of what was asked for."""

    def __post_init__(self) -> None:
        """Refuses times and bounds that cannot work together."""
        if not 3 * self.heartbeat_seconds <= self.election_seconds_min < self.election_seconds_max:
            raise ValueError("an election must wait for at least three heartbeats")
        if self.kept_bytes >= self.log_bytes_max:
            raise ValueError("what is kept of the log must be less than what it may hold")
