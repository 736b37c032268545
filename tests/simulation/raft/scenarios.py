"""Situations by script, each about one rule that chance hardly ever tests. With the rule kept, each ends well."""

from collections.abc import Callable

from common.errors import ConflictError
from manager.raft.commands import CommandKind
from manager.raft.messages import Append, Appended, AskVote, Message, Vote
from manager.raft.peers import Peer
from tests.simulation.raft.stage import Stage
from tests.simulation.raft.virtual_time import SimulationError, current_process
from tests.simulation.raft.world import Host

Scenario = Callable[[Stage], None]
BURST = 60
FILES_MAX = 8
"""Segments and snapshots that a member may have when it is at rest."""
MEMBERS = {
    "an_old_acknowledgement": 5,
    "an_entry_of_an_old_term": 5,
    "votes_of_an_old_term": 5,
    "a_vote_that_is_forgotten": 5,
    "a_vote_that_comes_again": 5,
    "a_vote_of_a_stranger": 5,
    "a_member_in_the_log_only": 1,
}
"""How many members a scenario needs; the others three."""


def an_old_acknowledgement(stage: Stage) -> None:
    """A follower's acknowledgement arrives when its leader was deposed, the entries were cut, and it leads again."""
    first = stage.leader()
    follower, *majority = [host for host in stage.hosts if host is not first]
    stage.part([first, follower], majority)
    held_to, held_from = first.member_id, follower.member_id
    stage.network.holds = lambda source, target, message: (
        isinstance(message, Appended)
        and (source, target) == (held_from, held_to)
        and message.match > base
    )
    base = stage.last_index(first)
    for _ in range(4):
        stage.write(first)
    stage.until("the follower has them", lambda: stage.last_index(follower) >= base + 4)
    stage.run(0.3)  # and on disk, and says so
    stage.network.holds = lambda _source, _target, _message: False
    second = stage.leader(majority)
    stage.written(second)
    stage.heal()
    stage.whole()
    stage.hand_over(second, first)
    stage.whole()
    third, *others = majority
    stage.part([first, third], [follower, *others])
    stage.network.release()  # the old acknowledgement: of entries that the follower no longer has
    stage.write(first)
    stage.run(0.3)
    first.crash("by script", power=True)  # with what it sent and is still on its way
    third.crash("by script", power=True)
    stage.network.heal()
    stage.leader([follower, *others])
    stage.end()


def an_entry_of_an_old_term(stage: Stage) -> None:
    """An entry of an old term is on a majority, and yet may be replaced: the picture 8 of the Raft paper."""
    first = stage.leader()
    partner, *others = [host for host in stage.hosts if host is not first]
    base = stage.last_index(first)
    stage.part([first, partner], others)
    stage.write(first)
    stage.until("the partner has it", lambda: stage.last_index(partner) > base)
    ours = {first.member_id, partner.member_id}
    stage.network.holds = lambda source, _target, message: (
        source not in ours and isinstance(message, Append) and bool(message.entries)
    )
    rival = stage.leader_by_role(others)  # its no-op stands at the same place, in a later term
    left = [host for host in others if host is not rival]
    stage.network.holds = lambda _source, _target, message: has_no_op(message)
    stage.part([rival], [first, partner, *left])
    late = stage.leader_by_role([first, partner])
    stage.run(
        0.3
    )  # the entry of the old term is on a majority now; the no-op of the new one is not
    for host in (first, partner):
        host.crash("by script", power=False)
    del late
    stage.network.holds = lambda _source, _target, _message: False
    stage.part([rival, *left], [first, partner])
    stage.leader([rival, *left])
    stage.end()


def has_no_op(message: Message) -> bool:
    """Whether it brings a no-op."""
    return isinstance(message, Append) and any(
        command[0] == CommandKind.NO_OP for command, _, _ in message.entries
    )


def one_that_hears_nothing(stage: Stage) -> None:
    """A member that hears nothing, but can speak, deposes nobody: neither meanwhile nor when it hears again."""
    leader = stage.leader()
    deaf, other = (host for host in stage.hosts if host is not leader)
    term = stage.world.invariants.highest_term
    stage.network.cut(leader.name, deaf.name)
    stage.run(10)
    stage.network.cut(other.name, deaf.name)
    stage.run(10)
    stage.heal()
    stage.run(5)
    if stage.world.invariants.highest_term != term or stage.leader() is not leader:
        raise SimulationError("a member that heard nothing deposed the leader")
    stage.end()


def a_leader_alone(stage: Stage) -> None:
    """A leader that reaches nobody no longer says that it leads, soon."""
    leader = stage.leader()
    others = [host for host in stage.hosts if host is not leader]
    stage.part([leader], others)
    limit = 2 * stage.world.settings.election_seconds_max
    stage.run(limit)
    if leader.log is None or leader.log.is_leader:
        raise SimulationError(f"{limit} s alone, and it still leads")
    stage.leader(others)
    stage.heal()
    stage.end()


def a_read_from_a_leader_that_slept(stage: Stage) -> None:
    """A leader sleeps, another is elected and writes; the first wakes, cut off, and is asked."""
    sleeper = stage.leader()
    others = [host for host in stage.hosts if host is not sleeper]
    stage.written(sleeper)
    wakes_at = stage.world.loop.time() + 5.0
    if sleeper.process is not None:
        sleeper.process.stop_for(5.0)
    stage.part([sleeper], others)
    stage.written(stage.leader(others))
    stage.until("it is about to wake", lambda: stage.world.loop.time() > wakes_at - 0.1)
    read = stage.world.background(stage.play.clients.read(through=sleeper))
    stage.run(8.0)
    if read.done() and read.result():
        raise SimulationError("a leader that reaches nobody answered a read")
    stage.heal()
    stage.end()


def a_read_before_the_new_term_is_committed(stage: Stage) -> None:
    """A new leader has an acknowledged entry in its log, and does not know yet that it is committed."""
    first = stage.leader()
    others = [host for host in stage.hosts if host is not first]
    base = stage.last_index(first)
    stage.network.holds = lambda _source, _target, message: (
        isinstance(message, Append) and message.commit > base
    )
    stage.written(first)
    first.crash("by script", power=False)
    stage.network.holds = lambda _source, _target, message: has_no_op(message)
    second = stage.leader_by_role(others)
    stage.world.background(stage.play.clients.read(through=second))
    stage.run(0.3)
    stage.network.release()
    stage.run(1.0)
    stage.end()


def all_asleep(stage: Stage) -> None:
    """All machines sleep for long and wake together: the leader is who it was."""
    leader = stage.leader()
    term = stage.world.invariants.highest_term
    for _ in range(5):
        for host in stage.hosts:
            if host.process is not None:
                host.process.stop_for(4.0)
        stage.run(6.0)
    if stage.world.invariants.highest_term != term or stage.leader() is not leader:
        raise SimulationError("a sleep of all deposed the leader")
    stage.end()


def an_acknowledgement_and_lost_power(stage: Stage) -> None:
    """A follower acknowledges, and loses power at that moment; the leader does so once it has told the client."""
    leader = stage.leader()
    follower, other = (host for host in stage.hosts if host is not leader)
    base = stage.last_index(leader)
    stage.part([leader, follower], [other])
    stage.world.loop.thread_seconds = lambda: 0.001 if current_process() is leader.process else 0.3

    def sent(source: str, message: Message) -> None:
        is_it = isinstance(message, Appended) and message.match > base
        if is_it and source == follower.member_id and follower.is_up:
            soon = (
                stage.world.loop.time() + 0.01
            )  # the message is gone by then, and no write has ended
            stage.world.loop.at(soon, lambda: follower.crash("by script", power=True))
            stage.world.on_sent = lambda _source, _message: None

    stage.world.on_sent = sent
    stage.written(leader)
    leader.crash("by script", power=True)
    stage.run(0.05)
    stage.world.loop.thread_seconds = lambda: 0.001
    stage.network.heal()
    follower.boot()
    stage.written(stage.leader([follower, other]))
    stage.end()


def a_leader_that_is_slow_to_write(stage: Stage) -> None:
    """One follower has an entry, and the leader loses power before its own disk has it."""
    leader = stage.leader()
    follower, other = (host for host in stage.hosts if host is not leader)
    stage.part([leader, follower], [other])
    slow = leader.process
    stage.world.loop.thread_seconds = lambda: 0.15 if current_process() is slow else 0.001
    stage.written(leader)
    leader.crash("by script", power=True)
    leader.boot()
    stage.part([leader, other], [follower])
    stage.written(stage.leader([leader, other]))
    stage.end()


def one_that_knows_less(stage: Stage) -> None:
    """One that lacks an acknowledged entry stands for election."""
    leader = stage.leader()
    follower, other = (host for host in stage.hosts if host is not leader)
    stage.part([leader, follower], [other])
    stage.written(leader)
    leader.crash("by script", power=True)
    stage.network.heal()
    stage.network.notice_breaks()
    for host in (follower, other):
        stage.forget_leader(host)
    stage.until("they reach each other", lambda: other.links.is_connected(follower.member_id))
    stage.stand(other)
    stage.run(0.5)
    stage.write(other)
    stage.run(0.5)
    stage.end()


def votes_of_an_old_term(stage: Stage) -> None:
    """Votes for a candidate come when it stands in the next term already, in which another one is elected."""
    leader = stage.leader()
    late, winner, *voters = [host for host in stage.hosts if host is not leader]
    leader.crash("by script", power=False)
    for host in stage.hosts:
        stage.forget_leader(host)
    stage.network.holds = lambda _source, target, message: (
        isinstance(message, Vote) and target == late.member_id
    )
    stage.stand(late)
    stage.run(0.1)
    stage.network.holds = lambda source, target, message: (
        source == late.member_id
        or (source == winner.member_id and target == late.member_id)
        or (isinstance(message, Vote) and target == late.member_id)
    )
    stage.stand(late)
    stage.stand(winner)
    stage.leader_by_role([winner])
    stage.network.release()
    stage.run(0.1)
    del voters
    stage.end()


def a_vote_that_is_forgotten(stage: Stage) -> None:
    """Somebody votes, and loses power with it; another one asks for its vote in the same term."""
    leader = stage.leader()
    first, second, voter, _ = (host for host in stage.hosts if host is not leader)
    leader.crash("by script", power=False)
    for host in stage.hosts:
        stage.forget_leader(host)
    stage.network.holds = lambda _source, target, _message: target != voter.member_id

    def sent(source: str, message: Message) -> None:
        if source == voter.member_id and isinstance(message, Vote) and voter.is_up:
            now = stage.world.loop.time()
            stage.world.loop.at(now, lambda: voter.crash("by script", power=True))

    stage.world.on_sent = sent
    stage.stand(first)
    stage.until("the voter loses power", lambda: not voter.is_up)
    stage.world.on_sent = lambda _source, _message: None
    voter.boot()
    stage.until("it is back", lambda: voter.log is not None)
    stage.network.notice_breaks()
    stage.until("it is reached", lambda: second.links.is_connected(voter.member_id))
    stage.forget_leader(voter)
    stage.stand(second)
    stage.run(0.1)
    stage.network.release()
    stage.end()


def a_vote_that_comes_again(stage: Stage) -> None:
    """One vote of one member comes three times."""
    leader = stage.leader()
    candidate, voter, *_ = (host for host in stage.hosts if host is not leader)
    votes: list[Message] = []

    def sent(source: str, message: Message) -> None:
        if source == voter.member_id and isinstance(message, Vote):
            votes.append(message)

    stage.world.on_sent = sent
    _only_candidate(stage, leader, candidate, voter)
    stage.until("it has voted", lambda: votes)
    stage.world.on_sent = lambda _source, _message: None
    for _ in range(3):
        stage.network.whisper(voter.member_id, candidate.member_id, votes[0])
    stage.run(0.1)
    stage.end()


def a_vote_of_a_stranger(stage: Stage) -> None:
    """Three who are no members give their votes."""
    leader = stage.leader()
    candidate, voter, *_ = (host for host in stage.hosts if host is not leader)
    _only_candidate(stage, leader, candidate, voter)
    term = stage.term(candidate)
    for digit in "567":
        stage.network.whisper(digit * 16, candidate.member_id, Vote(term=term, granted=True))
    stage.run(0.1)
    stage.end()


def _only_candidate(stage: Stage, leader: Host, candidate: Host, voter: Host) -> None:
    """The leader is gone, one stands for election; it reaches one voter, and no vote reaches it."""
    leader.crash("by script", power=False)
    for host in stage.hosts:
        stage.forget_leader(host)
    stage.network.holds = lambda source, target, message: (
        isinstance(message, Vote | AskVote)
        and candidate.member_id in {source, target}
        and (source, target) != (candidate.member_id, voter.member_id)
    )
    stage.stand(candidate)


def a_member_in_the_log_only(stage: Stage) -> None:
    """The only member adds another one, restarts before that is committed, and must not go on alone."""
    first = stage.leader()
    joiner = stage.joiner()
    base = stage.last_index(first)
    stage.network.holds = lambda _source, _target, message: (
        isinstance(message, Appended) and message.match > base
    )
    stage.add(first, joiner)
    stage.until("the change is there, too", lambda: stage.last_index(joiner) > base)
    stage.run(0.1)
    first.crash("by script", power=False)
    stage.part([first], [joiner])
    first.boot()
    stage.until("it is back", lambda: first.log is not None)
    for _ in range(400):
        stage.run(0.005)
        if first.log is not None and first.log.status().leader is not None:
            raise SimulationError("one of two members was elected alone")
    stage.end()


def a_change_by_a_new_leader(stage: Stage) -> None:
    """A new leader is asked for a change before it has committed anything."""
    leader = stage.leader()
    others = [host for host in stage.hosts if host is not leader]
    joiner = stage.joiner()
    leader.crash("by script", power=False)
    stage.network.holds = lambda _source, target, message: (
        target != joiner.member_id and has_no_op(message)
    )
    second = stage.leader_by_role(others)
    stage.add(second, joiner)
    stage.run(3.0)
    stage.network.release()
    stage.hosts.remove(joiner)
    stage.end()


def an_old_message_comes_again(stage: Stage) -> None:
    """Followers hear again what they heard long ago, then the leader dies."""
    leader = stage.leader()
    others = [host for host in stage.hosts if host is not leader]
    heard: list[tuple[str, Append]] = []

    def sent(source: str, message: Message) -> None:
        if isinstance(message, Append) and message.entries:
            heard.append((source, message))

    stage.world.on_sent = sent
    for _ in range(4):
        stage.written(leader)
    stage.whole()
    for host in others:
        stage.network.whisper(*heard[0][:1], host.member_id, heard[0][1])
    stage.run(0.02)
    leader.crash("by script", power=False)
    stage.written(stage.leader(others))
    stage.end()


def a_change_that_is_cut_off(stage: Stage) -> None:
    """A leader that is cut off adds a member; the others go on without both, and the change is taken back."""
    leader = stage.leader()
    others = [host for host in stage.hosts if host is not leader]
    joiner = stage.joiner()
    stage.part([leader, joiner], others)
    stage.add(leader, joiner)
    stage.run(0.5)
    stage.written(stage.leader(others))
    stage.hosts.remove(joiner)
    stage.heal()
    stage.end()


def a_second_change(stage: Stage) -> None:
    """A change is given up by who asked for it while it is not committed, and another one is asked for."""
    leader = stage.leader()
    others = [host for host in stage.hosts if host is not leader]
    first, second = stage.joiner(), stage.joiner()
    stage.part([leader, first, second], others)
    base = stage.last_index(leader)
    task = stage.add(leader, first)
    stage.until("the change is in the log", lambda: stage.last_index(leader) > base)
    if leader.process is not None:
        leader.process.run(task.cancel)
    stage.run(0.01)
    stage.add(leader, second)
    stage.run(0.4)
    for host in (first, second):
        stage.hosts.remove(host)
    stage.heal()
    stage.end()


def a_removed_one_comes_again(stage: Stage) -> None:
    """A member that was removed asks to be added as who it was."""
    leader = stage.leader()
    gone = next(host for host in stage.hosts if host is not leader)
    member_id, log = gone.member_id, leader.log
    stage.hosts.remove(gone)
    if log is None:
        raise SimulationError("the leader is down")
    stage.ask(leader, lambda: log.remove(member_id))
    stage.until("it knows", lambda: gone.was_removed)
    peer = Peer(member_id=member_id, node_id=gone.name, address=gone.address)
    gone.was_removed = False
    gone.boot()
    stage.run(1.0)
    task = stage.ask(leader, lambda: log.add(peer))
    if not isinstance(task.exception(), ConflictError):
        raise SimulationError("a member that was removed was not refused as who it was")
    stage.end()


def one_that_is_not_added_yet(stage: Stage) -> None:
    """A joiner has everything, its addition is on its way; the leader dies, and only the joiner reaches all."""
    leader = stage.leader()
    one, other = (host for host in stage.hosts if host is not leader)
    joiner = stage.joiner()
    base = stage.last_index(leader)
    stage.network.holds = lambda _source, _target, message: (
        isinstance(message, Append) and any(index > base for _, index, _ in message.entries)
    )
    stage.add(leader, joiner)
    stage.until("it has everything", lambda: stage.last_index(joiner) >= base)
    leader.crash("by script", power=False)
    stage.network.release()
    for host in (one, other):
        stage.network.introduce(joiner.links, host.links)
    stage.part([one], [other])
    stage.run(5.0)
    stage.hosts.remove(joiner)
    stage.heal()
    stage.end()


def a_long_log(stage: Stage) -> None:
    """Much is written while one member is away: nobody keeps more than the bounds, and it is fed a snapshot."""
    leader = stage.leader()
    away = next(host for host in stage.hosts if host is not leader)
    away.crash("by script", power=False)
    settings = stage.world.settings
    entries_max = 4 * settings.snapshot_entries + settings.kept_entries + BURST
    for _ in range(12):
        burst = [stage.write(leader) for _ in range(BURST)]
        stage.until("all are written", lambda tasks=burst: all(task.done() for task in tasks))  # type: ignore[misc]
        for host in stage.hosts:
            if host.is_up and (kept := stage.kept_entries(host)) > entries_max:
                raise SimulationError(f"{host.name} keeps {kept} entries")
    restored = stage.world.counts.restored
    away.boot()
    stage.run(3.0)
    stage.whole()
    if stage.world.counts.restored == restored:
        raise SimulationError("the one that was away got no snapshot")
    for host in stage.hosts:
        if len(host.disk.names()) > FILES_MAX:
            raise SimulationError(f"{host.name} keeps {host.disk.names()}")
    stage.end()


def a_new_cluster_by_force(stage: Stage) -> None:
    """Two of three burn down, and the third one goes on alone; the two come back and learn that they are gone."""
    survivor = stage.leader()
    others = [host for host in stage.hosts if host is not survivor]
    for _ in range(5):
        stage.written(survivor)
    for host in stage.hosts:
        host.crash("by script", power=True)
    survivor.boots_alone = True
    survivor.boot()
    stage.hosts = [survivor]
    stage.written(stage.leader())
    for host in others:
        host.boot()
        stage.until("it learns that it is gone", lambda gone=host: gone.was_removed)  # type: ignore[misc]
    survivor.crash("by script", power=True)
    survivor.boot()
    joiner = stage.joiner()
    task = stage.add(stage.leader([survivor]), joiner)
    stage.until("it is added", task.done)
    stage.end()


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        an_old_acknowledgement,
        an_entry_of_an_old_term,
        one_that_hears_nothing,
        a_leader_alone,
        a_read_from_a_leader_that_slept,
        a_read_before_the_new_term_is_committed,
        all_asleep,
        an_acknowledgement_and_lost_power,
        a_leader_that_is_slow_to_write,
        one_that_knows_less,
        votes_of_an_old_term,
        a_vote_that_is_forgotten,
        a_vote_that_comes_again,
        a_vote_of_a_stranger,
        a_member_in_the_log_only,
        a_change_by_a_new_leader,
        an_old_message_comes_again,
        a_change_that_is_cut_off,
        a_second_change,
        a_removed_one_comes_again,
        one_that_is_not_added_yet,
        a_long_log,
        a_new_cluster_by_force,
    )
}
