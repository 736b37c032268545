"""Kinds of runs: what they stress. A seed's number says which of ``PROFILES`` it is run with."""

from dataclasses import replace

from manager.raft.settings import RaftSettings
from tests.simulation.raft.faults import CALM, Storm
from tests.simulation.raft.operator import NO_CHANGES, Changes
from tests.simulation.raft.run import Profile

SMALL = RaftSettings(
    heartbeat_seconds=0.1,
    election_seconds_min=0.4,
    election_seconds_max=0.8,
    append_bytes_max=400,
    append_entries_max=8,
    in_flight_bytes_max=2000,
    in_flight_entries_max=40,
    snapshot_entries=60,
    snapshot_bytes=6000,
    kept_entries=10,
)
"""Everything small, so that every bound is met all the time."""
LARGE = RaftSettings(heartbeat_seconds=0.1, election_seconds_min=0.4, election_seconds_max=0.8)
"""Snapshots only when somebody joins late; large batches."""

MIXED = Profile(name="mixed", settings=SMALL)
FIVE = Profile(name="five", members=5, settings=LARGE, changes=NO_CHANGES)
POWER = Profile(
    name="power",
    settings=SMALL,
    changes=NO_CHANGES,
    storm=Storm(every_seconds=0.7, lose_power=6, lose_power_within=12, lose_power_all=3),
)
MEMBERSHIP = Profile(
    name="membership",
    settings=SMALL,
    storm=Storm(every_seconds=1.5),
    changes=Changes(every_seconds=0.5),
)
NETWORK = Profile(
    name="network",
    members=5,
    settings=SMALL,
    changes=NO_CHANGES,
    storm=Storm(
        every_seconds=0.5,
        crash=1, lose_power=0, lose_power_within=0, crash_all=0, lose_power_all=0,
        fail_disk=0, fill_disk=0,
        halves=6, isolate_leader=4, one_way=6, break_streams=6, weather=8, heal=14, stop=6,
    ),
)  # fmt: skip
ELECTIONS = Profile(
    name="elections",
    members=5,
    settings=replace(SMALL, election_seconds_min=0.4, election_seconds_max=0.45),
    changes=NO_CHANGES,
    clients=3,
    storm=Storm(
        every_seconds=0.4,
        crash=3, lose_power=4, lose_power_within=3, crash_all=1, lose_power_all=1,
        fail_disk=0, fill_disk=0, snapshot=0,
        halves=2, isolate_leader=8, one_way=2, break_streams=3, weather=4, heal=10, stop=4, transfer=4,
        after_vote=0.25, after_acknowledgement=0.01, busybody=0.3, chaos_max=0.4,
    ),
)  # fmt: skip
EVERYTHING = Profile(
    name="everything",
    settings=replace(SMALL, election_seconds_max=0.6),
    storm=Storm(
        every_seconds=0.6, after_vote=0.1, after_acknowledgement=0.005, busybody=0.1, chaos_max=0.3
    ),
    changes=Changes(every_seconds=0.7),
)
FORGETFUL = Profile(
    name="forgetful",
    settings=SMALL,
    changes=NO_CHANGES,
    think_seconds=0.05,
    storm=Storm(every_seconds=0.8, isolate_leader=8, one_way=6, break_streams=8, stop=6),
    requests_remembered=20,
)
QUIET = Profile(
    name="quiet",
    settings=replace(SMALL, append_entries_max=1),
    storm=CALM,
    changes=NO_CHANGES,
)
"""Nothing happens but what a script does; each message has one entry, so that scripts can tell them apart."""

PROFILES = (MIXED, POWER, MEMBERSHIP, NETWORK, FIVE, ELECTIONS, EVERYTHING, FORGETFUL)


def profile_of(seed: int) -> Profile:
    """The profile that a seed is run with."""
    return PROFILES[seed % len(PROFILES)]
