"""The cluster's own settings; exactly one is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.container_spec import Driver
from common.model.fields import KEPT_BACK, Bytes, Seconds, Timestamp, called
from common.model.meta import Stored

DEFAULT_TASK_HISTORY = 5
DEFAULT_HEARTBEAT_SECONDS = 5.0
DEFAULT_CERT_EXPIRY_SECONDS = 90 * 24 * 3600.0
DEFAULT_DATA_PATH_PORT = 4789


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationConfig:
    """How much of the past is kept."""

    task_history_retention_limit: int = DEFAULT_TASK_HISTORY


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftConfig:
    """Settings of replication."""

    snapshot_interval: int = 10_000
    keep_old_snapshots: int = 0
    log_entries_for_slow_followers: int = 500
    election_tick: int = 10
    heartbeat_tick: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherConfig:
    """How often agents say that they live."""

    heartbeat_period_seconds: Seconds = DEFAULT_HEARTBEAT_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalCa:
    """An authority outside of the cluster that signs its certificates."""

    protocol: str = ""
    url: str = called("URL", default="")
    options: Mapping[str, str] = field(default_factory=dict)
    ca_cert: str = called("CACert", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaConfig:
    """Settings of the certificate authority."""

    node_cert_expiry_seconds: Seconds = DEFAULT_CERT_EXPIRY_SECONDS
    signing_ca_cert: str = called("SigningCACert", default="")
    """PEM; only in a request: what is stored has it in ``RootCa``."""
    signing_ca_key: str = field(default="", repr=False, metadata={"json": "SigningCAKey"})
    """PEM; only in a request."""
    force_rotate: int = 0
    """Another number than before asks for a new root."""
    external_cas: tuple[ExternalCa, ...] = called("ExternalCAs", default=())
    """Only in a request, which is refused for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncryptionConfig:
    """Whether managers need a key to start."""

    auto_lock_managers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDefaults:
    """What tasks get that do not say."""

    log_driver: Driver | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """What the user can change of the cluster."""

    name: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    orchestration: OrchestrationConfig = field(default_factory=OrchestrationConfig)
    raft: RaftConfig = field(default_factory=RaftConfig)
    dispatcher: DispatcherConfig = field(default_factory=DispatcherConfig)
    ca_config: CaConfig = called("CAConfig", default_factory=CaConfig)
    task_defaults: TaskDefaults = field(default_factory=TaskDefaults)
    encryption_config: EncryptionConfig = field(default_factory=EncryptionConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class RootRotation:
    """The authority that is to follow the present one: it signs already, and the present one vouches for it."""

    certificate: Bytes = b""
    """PEM, self-signed."""
    key: Bytes = field(default=b"", repr=False)
    """PEM of the private key."""
    cross_signed: Bytes = b""
    """PEM: the same key and name, signed by the present authority."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootCa:
    """The cluster's certificate authority; written when the cluster is made. Only managers have it."""

    certificate: Bytes = b""
    """PEM."""
    key: Bytes = field(default=b"", repr=False)
    """PEM of the private key: never leaves the managers, is in no answer and no log."""
    worker_token: str = field(default="", repr=False)
    manager_token: str = field(default="", repr=False)
    rotation: RootRotation | None = None
    """Written by the API when a rotation begins, by the leader when it is complete; None: none is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Stored):
    """The cluster."""

    spec: ClusterSpec = field(default_factory=ClusterSpec)
    root_rotation_in_progress: bool = False
    """Unused; it has its place in what is stored. ``root_ca.rotation`` tells."""
    data_path_port: int = DEFAULT_DATA_PATH_PORT
    default_addr_pool: tuple[str, ...] = ("10.0.0.0/8",)
    subnet_size: int = 24
    root_ca: RootCa = field(default_factory=RootCa, metadata=KEPT_BACK)
    removed_nodes: Mapping[str, Timestamp] = field(default_factory=dict, metadata=KEPT_BACK)
    """Ids of removed nodes, and until when a certificate of theirs may be in date; written with the removal."""
    unlock_key: str = field(default="", repr=False, metadata=KEPT_BACK)
    """What managers need in order to start, where they are locked; "" where they are not."""
    longest_cert_seconds: Seconds = field(default=DEFAULT_CERT_EXPIRY_SECONDS, metadata=KEPT_BACK)
    """The longest life that certificates of nodes were ever given."""
