"""What may befall managers, each as a context: inside it has happened, afterwards it is over."""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager

from integration.cluster import Cluster
from integration.host import wait_for

FAIL_STOP_STATUS = 70
FILLS_THE_LOG_BYTES = 30_000
"""In each write, where a disk is to be full: the log holds some space in reserve and goes on until it is used."""
FULL_DISK_LINE = "No space left on device"
DOWN_SECONDS_MAX = 0.5

Fault = Callable[[Cluster, random.Random], AbstractContextManager[None]]
"""Writes go on while it lasts: a majority is left."""


@contextlib.contextmanager
def leader_killed(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    """SIGKILL for the leader's swarmd."""
    with _leader_down(cluster, chance, cluster.kill):
        yield


@contextlib.contextmanager
def leader_stopped(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    """SIGTERM for the leader's swarmd."""
    with _leader_down(cluster, chance, cluster.stop):
        yield


@contextlib.contextmanager
def _leader_down(
    cluster: Cluster, chance: random.Random, end: Callable[[str], None]
) -> Iterator[None]:
    name = cluster.leader()
    end(name)
    yield
    time.sleep(chance.random() * DOWN_SECONDS_MAX)
    cluster.start(name)


@contextlib.contextmanager
def follower_killed(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    """SIGKILL for another one's."""
    name = a_follower(cluster, chance)
    cluster.kill(name)
    yield
    cluster.start(name)


@contextlib.contextmanager
def leader_without_power(cluster: Cluster, _chance: random.Random) -> Iterator[None]:
    """The leader's whole host ends, its network, too: nobody is told that its connections are over."""
    name = cluster.leader()
    cluster.power_cut(name)
    yield
    cluster.start(name)


@contextlib.contextmanager
def leader_paused(cluster: Cluster, _chance: random.Random) -> Iterator[None]:
    """The leader holds its breath, and goes on as if nothing had been."""
    with _paused(cluster, cluster.leader()):
        yield


@contextlib.contextmanager
def follower_paused(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    """Another one does."""
    with _paused(cluster, a_follower(cluster, chance)):
        yield


@contextlib.contextmanager
def _paused(cluster: Cluster, name: str) -> Iterator[None]:
    cluster.pause(name)
    try:
        yield
    finally:
        cluster.resume(name)


@contextlib.contextmanager
def leader_cut_off(cluster: Cluster, _chance: random.Random) -> Iterator[None]:
    """The leader neither hears nor is heard."""
    cluster.cut(cluster.leader())
    yield
    cluster.heal()


@contextlib.contextmanager
def leader_unheard(cluster: Cluster, _chance: random.Random) -> Iterator[None]:
    """The leader hears the others, and is not heard."""
    cluster.cut(cluster.leader(), one_way=True)
    yield
    cluster.heal()


@contextlib.contextmanager
def leader_hears_nothing(cluster: Cluster, _chance: random.Random) -> Iterator[None]:
    """The leader is heard, and hears nothing."""
    leader = cluster.leader()
    for name in cluster.hosts:
        if name != leader:
            cluster.cut(name, from_=leader, one_way=True)
    yield
    cluster.heal()


@contextlib.contextmanager
def bridge(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    """The leader and another one do not hear each other; the rest hear both."""
    cluster.cut(cluster.leader(), from_=a_follower(cluster, chance))
    yield
    cluster.heal()


@contextlib.contextmanager
def follower_cut_off(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    """Another one is alone for a while; back, it must not unsettle the others."""
    cluster.cut(a_follower(cluster, chance))
    yield
    cluster.heal()


@contextlib.contextmanager
def leaders_disk_full(cluster: Cluster, _chance: random.Random) -> Iterator[None]:
    """The leader cannot write: it says so and ends, for it could promise nothing more."""
    with _disk_full(cluster, cluster.leader()):
        yield


@contextlib.contextmanager
def followers_disk_full(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    """Another one cannot."""
    with _disk_full(cluster, a_follower(cluster, chance)):
        yield


@contextlib.contextmanager
def _disk_full(cluster: Cluster, name: str) -> Iterator[None]:
    host = cluster[name]
    cluster.fill_disk(name)
    try:
        wait_for(f"{name} to end", lambda: host.process is None or host.process.poll() is not None)
        code = host.ended()
        assert code == FAIL_STOP_STATUS, f"{name} ended with {code}:\n{host.tail()}"
        assert FULL_DISK_LINE in host.tail(30), host.tail()
        yield
    finally:
        cluster.free_disk(name)
    cluster.start(name)


def a_follower(cluster: Cluster, chance: random.Random) -> str:
    """One of those that do not lead."""
    return chance.choice(sorted(set(cluster.hosts) - {cluster.leader()}))


FAULTS: Mapping[str, Fault] = {
    "leader killed": leader_killed,
    "leader stopped": leader_stopped,
    "follower killed": follower_killed,
    "leader without power": leader_without_power,
    "leader paused": leader_paused,
    "follower paused": follower_paused,
    "leader cut off": leader_cut_off,
    "leader not heard": leader_unheard,
    "leader hears nothing": leader_hears_nothing,
    "leader and follower apart": bridge,
    "follower cut off": follower_cut_off,
    "leader's disk full": leaders_disk_full,
    "follower's disk full": followers_disk_full,
}


def padding_bytes(title: str) -> int:
    """What each write is to carry while that befalls the managers, so that it comes about soon."""
    return FILLS_THE_LOG_BYTES if "disk" in title else 0
