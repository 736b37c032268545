"""A ``ClusterSpec`` out of a request's body, and the request that makes a swarm."""

import ipaddress
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

from common.engine_json import parse, render
from common.errors import InvalidInputError, NotImplementedHereError
from common.model.cluster import DEFAULT_DATA_PATH_PORT, ClusterSpec, EncryptionConfig
from common.model.node import Availability
from manager.api.parse.raw import body_object, member
from manager.api.ports import InitRequest, JoinRequest
from manager.ca.asked_root import check_asked

CLUSTER_NAME = "default"
NODE_CERT_EXPIRY_MIN_SECONDS = 3600.0
DATA_PATH_PORT_MIN, DATA_PATH_PORT_MAX = 1024, 49_151
DEFAULT_ADDR_POOL = ("10.0.0.0/8",)
DEFAULT_SUBNET_SIZE = 24
SUBNET_SIZE_MAX = 29
DEFAULT_SWARM_PORT = 2377
DEFAULT_LISTEN_ADDR = f"0.0.0.0:{DEFAULT_SWARM_PORT}"
REMOTE_ADDRS_MAX = 64
TOKEN_MAX_CHARACTERS = 256

_ZERO_IS_MEANT = frozenset({"TaskHistoryRetentionLimit", "KeepOldSnapshots", "AutoLockManagers"})


def parse_cluster_spec(raw: Any, current: ClusterSpec) -> ClusterSpec:  # noqa: ANN401
    """Reads a spec onto the current one: what is absent or zero stays as it is, as in Docker.

    Raises:
        InvalidInputError: in Docker's words.
        NotImplementedHereError: something of Docker's that we do not have.
    """
    body = body_object(raw)
    spec = parse(ClusterSpec, _overlay(render(current), body), "SwarmSpec")
    _check(spec)
    return spec


def _overlay(current: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(current)
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict) and key != "Labels":
            result[key] = _overlay(result[key], value)
        elif value or (value == 0 and key in _ZERO_IS_MEANT) or (key == "Labels" and value == {}):
            result[key] = value
    return result


def _check(spec: ClusterSpec) -> None:
    if spec.name != CLUSTER_NAME:
        raise InvalidInputError("modification of cluster name is not allowed")
    if spec.ca_config.node_cert_expiry_seconds < NODE_CERT_EXPIRY_MIN_SECONDS:
        raise InvalidInputError("minimum certificate expiry time is: 1h0m0s")
    if spec.ca_config.force_rotate < 0:
        raise InvalidInputError("ForceRotate cannot be negative")
    check_asked(spec.ca_config)
    if spec.dispatcher.heartbeat_period_seconds < 0:
        raise InvalidInputError("heartbeat time period cannot be a negative duration")
    raft = spec.raft
    if (
        min(raft.snapshot_interval, raft.keep_old_snapshots, raft.log_entries_for_slow_followers)
        < 0
    ):
        raise InvalidInputError("raft: numbers of entries and snapshots cannot be negative")
    if not 0 < raft.heartbeat_tick < raft.election_tick:
        raise InvalidInputError("raft: ElectionTick must be greater than HeartbeatTick")


def parse_init_request(raw: Any) -> InitRequest:  # noqa: ANN401
    """Reads the body of ``POST /swarm/init``.

    Raises:
        InvalidInputError: in Docker's words.
        NotImplementedHereError: something of Docker's that we do not have.
    """
    body = body_object(raw)
    size = _integer(body, "SubnetSize") or DEFAULT_SUBNET_SIZE
    return InitRequest(
        spec=_first_spec(body),
        listen_addr=_text(body, "ListenAddr") or DEFAULT_LISTEN_ADDR,
        advertise_addr=_text(body, "AdvertiseAddr"),
        data_path_addr=_text(body, "DataPathAddr"),
        data_path_port=_data_path_port(_integer(body, "DataPathPort")),
        default_addr_pool=_address_pool(member(body, "DefaultAddrPool"), size),
        subnet_size=size,
        availability=_availability(_text(body, "Availability")),
        force_new_cluster=member(body, "ForceNewCluster") is True,
    )


def _first_spec(body: Mapping[str, Any]) -> ClusterSpec:
    spec = parse_cluster_spec(member(body, "Spec") or {}, ClusterSpec())
    if spec.ca_config.signing_ca_cert:
        raise NotImplementedHereError(
            "making a swarm with a certificate authority that is brought along: not implemented",
            hint='make the swarm, then give it to "swarmctl swarm ca --rotate"',
        )
    if member(body, "AutoLockManagers") is True:  # Docker's client says it in both places
        return replace(spec, encryption_config=EncryptionConfig(auto_lock_managers=True))
    return spec


def parse_join_request(raw: Any) -> JoinRequest:  # noqa: ANN401
    """Reads the body of ``POST /swarm/join``.

    Raises:
        InvalidInputError: in Docker's words.
    """
    body = body_object(raw)
    remote = member(body, "RemoteAddrs")
    texts = [] if remote is None else parse(tuple[str, ...], remote, "RemoteAddrs")
    if not texts:
        raise InvalidInputError("at least 1 RemoteAddr is required to join")
    if len(texts) > REMOTE_ADDRS_MAX:
        raise InvalidInputError(f"at most {REMOTE_ADDRS_MAX} RemoteAddrs are taken")
    token = _text(body, "JoinToken")
    if not token or len(token) > TOKEN_MAX_CHARACTERS:
        raise InvalidInputError("invalid join token")
    return JoinRequest(
        listen_addr=_text(body, "ListenAddr") or DEFAULT_LISTEN_ADDR,
        advertise_addr=_text(body, "AdvertiseAddr"),
        data_path_addr=_text(body, "DataPathAddr"),
        remote_addrs=tuple(map(_remote_addr, texts)),
        join_token=token,
        availability=_availability(_text(body, "Availability")),
    )


def _remote_addr(text: str) -> str:
    """``host:port``; without a port it is the usual one, as in Docker."""
    if not text:
        raise InvalidInputError('invalid remoteAddr "": invalid empty address')
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host.strip("[]") and not host.startswith("[")):
        host, port = text, str(DEFAULT_SWARM_PORT)  # a name, or an IPv6 address without a port
    if text.startswith("[") and text.endswith("]"):
        host, port = text, str(DEFAULT_SWARM_PORT)
    bare = host.removeprefix("[").removesuffix("]")
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 2**16
    if not bare or "/" in bare or not is_port:
        raise InvalidInputError(f'invalid remoteAddr "{text}": use host:port')
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _integer(body: Mapping[str, Any], key: str) -> int:
    value = member(body, key)
    return 0 if value is None else parse(int, value, key)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = member(body, key)
    return "" if value is None else parse(str, value, key)


def _availability(text: str) -> Availability:
    try:
        return Availability(text or Availability.ACTIVE)
    except ValueError:
        raise InvalidInputError(f'invalid Availability: "{text}"') from None


def _data_path_port(port: int) -> int:
    if port == 0:
        return DEFAULT_DATA_PATH_PORT
    if not DATA_PATH_PORT_MIN <= port <= DATA_PATH_PORT_MAX:
        raise InvalidInputError(f"Datapath port number is not in valid range (1024-49151) : {port}")
    return port


def _address_pool(raw: Any, size: int) -> tuple[str, ...]:  # noqa: ANN401
    if not 1 <= size <= SUBNET_SIZE_MAX:
        raise InvalidInputError(f"subnet size is out of range: {size}")
    texts = parse(tuple[str, ...], raw, "DefaultAddrPool") if raw else DEFAULT_ADDR_POOL
    pools = [_network(text) for text in texts]
    for pool in pools:
        if size < pool.prefixlen:
            raise InvalidInputError(
                f'invalid CIDR: "{pool}". Subnet size is too small for pool: {size}'
            )
    for one, other in combinations(pools, 2):
        if one.overlaps(other):
            raise InvalidInputError(f"base pool {other} overlaps with {one}")
    return tuple(map(str, pools))


def _network(text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise InvalidInputError(f"invalid base pool {text}: invalid CIDR address") from None
