"""The cluster's own settings; exactly one is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from common.model.container_spec import Driver
from common.model.fields import KEPT_BACK, Bytes, Seconds, called
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
class CaConfig:
    """Settings of the certificate authority."""

    node_cert_expiry_seconds: Seconds = DEFAULT_CERT_EXPIRY_SECONDS


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
class RootCa:
    """The cluster's certificate authority; written when the cluster is made. Only managers have it."""

    certificate: Bytes = b""
    """PEM."""
    key: Bytes = field(default=b"", repr=False)
    """PEM of the private key: never leaves the managers, is in no answer and no log."""
    worker_token: str = field(default="", repr=False)
    manager_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster(Stored):
    """The cluster."""

    spec: ClusterSpec = field(default_factory=ClusterSpec)
    root_rotation_in_progress: bool = False
    data_path_port: int = DEFAULT_DATA_PATH_PORT
    default_addr_pool: tuple[str, ...] = ("10.0.0.0/8",)
    subnet_size: int = 24
    root_ca: RootCa = field(default_factory=RootCa, metadata=KEPT_BACK)
