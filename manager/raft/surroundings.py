"""What a member of the replication is given by whoever starts it."""

import random  # noqa: TID251 - only named as a type
from collections.abc import Callable
from dataclasses import dataclass, field

from common.clock import Clock
from manager.raft.fail_stop import FailStop, stop_process
from manager.raft.links import Links
from manager.raft.log import StateMachine
from manager.raft.peers import Peer
from manager.raft.rules import Rules
from manager.raft.settings import RaftSettings
from manager.raft.worker import ThreadWorker, Worker


def _nothing(_leads: bool) -> None:  # noqa: FBT001 - the callback's one argument
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything that a member stands on but its storage. Nothing in manager/raft reaches for anything else."""

    me: Peer
    machine: StateMachine
    links: Links
    clock: Clock
    chance: random.Random
    settings: RaftSettings = field(default_factory=RaftSettings)
    rules: Rules = field(default_factory=Rules)
    on_leadership: Callable[[bool], None] = _nothing
    """Told when this member begins to lead (everything committed before is applied) and when it no longer does."""
    on_removed: Callable[[], None] = lambda: None
    """Told once that this member was removed for ever."""
    fail_stop: FailStop = stop_process
    new_worker: Callable[[str], Worker] = ThreadWorker
    """A thread of its own for each purpose: the journal must not wait for a snapshot."""
