"""What a swarm may be made of, and what may be changed of it."""

from dataclasses import replace
from typing import Any

import pytest

from common.errors import InvalidInputError, NotImplementedHereError
from common.model.cluster import ClusterSpec, DispatcherConfig, OrchestrationConfig, RaftConfig
from common.model.node import Availability
from manager.api.parse.cluster_spec import parse_cluster_spec, parse_init_request
from manager.api.ports import InitRequest

Json = dict[str, Any]
CURRENT = ClusterSpec(
    labels={"a": "b"},
    dispatcher=DispatcherConfig(heartbeat_period_seconds=7.0),
    raft=RaftConfig(snapshot_interval=5, keep_old_snapshots=3),
)

CHANGES = {
    "nothing": ({}, CURRENT),
    "sections of zeros": (
        {"Dispatcher": {"HeartbeatPeriod": 0}, "Raft": {"SnapshotInterval": 0}, "CAConfig": {}},
        CURRENT,
    ),
    "one value of a section": (
        {"Raft": {"SnapshotInterval": 9}},
        replace(CURRENT, raft=RaftConfig(snapshot_interval=9, keep_old_snapshots=3)),
    ),
    "a zero that is meant": (
        {"Orchestration": {"TaskHistoryRetentionLimit": 0}},
        replace(CURRENT, orchestration=OrchestrationConfig(task_history_retention_limit=0)),
    ),
    "labels as a whole": ({"Labels": {"c": "d"}}, replace(CURRENT, labels={"c": "d"})),
    "labels taken away": ({"Labels": {}}, replace(CURRENT, labels={})),
}


@pytest.mark.parametrize(("given", "expected"), CHANGES.values(), ids=CHANGES)
def test_changes_what_is_said(given: Json, expected: ClusterSpec) -> None:
    assert parse_cluster_spec(given, CURRENT) == expected


INVALID = {
    "another name": ({"Name": "mine"}, "modification of cluster name is not allowed"),
    "a short life of certificates": (
        {"CAConfig": {"NodeCertExpiry": 3_599_000_000_000}},
        "minimum certificate expiry time is: 1h0m0s",
    ),
    "a negative heartbeat": (
        {"Dispatcher": {"HeartbeatPeriod": -1}},
        "heartbeat time period cannot be a negative duration",
    ),
    "an election before the heartbeat": ({"Raft": {"ElectionTick": 1}}, "raft: ElectionTick"),
}
ABSENT = {
    "an external authority": {"CAConfig": {"ExternalCAs": [{"URL": "https://ca"}]}},
    "a certificate whose key is elsewhere": {"CAConfig": {"SigningCACert": "c"}},
}


@pytest.mark.parametrize(("given", "expected"), INVALID.values(), ids=INVALID)
def test_refuses_what_is_invalid(given: Json, expected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_cluster_spec(given, CURRENT)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize("given", ABSENT.values(), ids=ABSENT)
def test_says_what_is_not_there_yet(given: Json) -> None:
    with pytest.raises(NotImplementedHereError):
        parse_cluster_spec(given, CURRENT)


def test_locks_managers_and_unlocks_them_when_it_is_said() -> None:
    locked = parse_cluster_spec({"EncryptionConfig": {"AutoLockManagers": True}}, ClusterSpec())
    assert locked.encryption_config.auto_lock_managers
    nothings: tuple[Json, ...] = ({}, {"EncryptionConfig": {}})
    for nothing in nothings:
        assert parse_cluster_spec(nothing, locked) == locked
    off = parse_cluster_spec({"EncryptionConfig": {"AutoLockManagers": False}}, locked)
    assert off == ClusterSpec()
    assert parse_init_request({"AutoLockManagers": True}).spec == locked


def test_reads_a_request_that_says_nothing() -> None:
    assert parse_init_request({}) == InitRequest(
        spec=ClusterSpec(),
        listen_addr="0.0.0.0:2377",
        advertise_addr="",
        data_path_addr="",
        data_path_port=4789,
        default_addr_pool=("10.0.0.0/8",),
        subnet_size=24,
        availability=Availability.ACTIVE,
        force_new_cluster=False,
    )


def test_reads_a_request_in_full() -> None:
    given = {
        "ListenAddr": "192.0.2.1:2377",
        "AdvertiseAddr": "eth0",
        "DataPathAddr": "eth1",
        "DataPathPort": 5000,
        "DefaultAddrPool": ["10.1.0.0/16", "10.2.0.0/16"],
        "SubnetSize": 26,
        "Availability": "drain",
        "ForceNewCluster": True,
        "Spec": {"Labels": {"a": "b"}},
    }
    assert parse_init_request(given) == InitRequest(
        spec=ClusterSpec(labels={"a": "b"}),
        listen_addr="192.0.2.1:2377",
        advertise_addr="eth0",
        data_path_addr="eth1",
        data_path_port=5000,
        default_addr_pool=("10.1.0.0/16", "10.2.0.0/16"),
        subnet_size=26,
        availability=Availability.DRAIN,
        force_new_cluster=True,
    )


INVALID_REQUESTS = {
    "a low data path port": ({"DataPathPort": 1023}, "Datapath port number is not in valid range"),
    "a high data path port": ({"DataPathPort": 49152}, "Datapath port number is not in valid"),
    "a subnet too small": ({"SubnetSize": 30}, "subnet size is out of range: 30"),
    "a pool that is none": ({"DefaultAddrPool": ["ten"]}, "invalid base pool ten"),
    "a pool smaller than its subnets": (
        {"DefaultAddrPool": ["10.0.0.0/25"]},
        'invalid CIDR: "10.0.0.0/25". Subnet size is too small for pool: 24',
    ),
    "pools that overlap": (
        {"DefaultAddrPool": ["10.0.0.0/8", "10.1.0.0/16"]},
        "base pool 10.1.0.0/16 overlaps with 10.0.0.0/8",
    ),
    "an unknown availability": ({"Availability": "idle"}, 'invalid Availability: "idle"'),
    "a port in words": ({"DataPathPort": "x"}, "invalid value for DataPathPort"),
}


@pytest.mark.parametrize(("given", "expected"), INVALID_REQUESTS.values(), ids=INVALID_REQUESTS)
def test_refuses_a_request(given: Json, expected: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_init_request(given)
    assert str(caught.value).startswith(expected)
