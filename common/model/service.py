"""A service: what should run, and what the system knows of its running."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from common.codec import tagged
from common.model.endpoint import Endpoint, EndpointSpec
from common.model.fields import Timestamp
from common.model.meta import Stored
from common.model.policies import UpdateConfig
from common.model.task import NetworkAttachmentConfig, TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """A number of equal tasks."""

    replicas: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Global:
    """One task on each node that qualifies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicatedJob:
    """A number of tasks that run to completion."""

    max_concurrent: int = 1
    total_completions: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalJob:
    """One task that runs to completion on each node that qualifies."""


Mode = Replicated | Global | ReplicatedJob | GlobalJob
"""JSON: an object with one key, the class's name: ``{"Replicated": {"Replicas": 3}}``."""

tagged(Replicated, Global, ReplicatedJob, GlobalJob)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """What the user asks for; never written by the system."""

    name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    task_template: TaskSpec = field(default_factory=TaskSpec)
    mode: Mode = field(default_factory=Replicated)
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    networks: tuple[NetworkAttachmentConfig, ...] = ()
    endpoint_spec: EndpointSpec | None = None


class UpdateState(StrEnum):
    """How an update stands."""

    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStatus:
    """The last update: written by the orchestrator."""

    state: UpdateState = UpdateState.UPDATING
    started_at: Timestamp = 0.0
    completed_at: Timestamp = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """Which run of a job service this is."""

    job_iteration: int = 0
    last_execution: Timestamp = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service(Stored):
    """What the user asks for, and what the system knows of it."""

    spec: ServiceSpec
    """Written by the API for the user; by the orchestrator only to roll back to ``previous_spec``."""
    previous_spec: ServiceSpec | None = None
    """What a rollback returns to."""
    spec_version: int = 0
    """Raft index at which ``spec`` was last written (not the object's own ``version``, which every write moves)."""
    previous_spec_version: int = 0
    endpoint: Endpoint = field(default_factory=Endpoint)
    """Written by the allocator."""
    update_status: UpdateStatus | None = None
    """Written by the orchestrator; set to None by the API when the user changes the spec."""
    job_status: JobStatus | None = None
