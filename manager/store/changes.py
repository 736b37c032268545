"""What can be done to the store: the closed union of changes that a raft entry carries.

Every change that a decision makes on an object names the version that it was decided on; applying it to a newer
version refuses the whole batch (``StaleVersionError``), and the decider looks again. The changes of the hot path
name just the fields that their one writer owns.
"""

from dataclasses import dataclass

from common.codec import tagged
from common.model.cluster import Cluster
from common.model.config import Config
from common.model.endpoint import PortConfig
from common.model.fields import Timestamp
from common.model.node import Node
from common.model.resources import GenericResource
from common.model.secret import Secret
from common.model.service import Service
from common.model.task import Task, TaskState, TaskStatus

StoredObject = Cluster | Node | Service | Task | Secret | Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Adds an object.

    Refused when its id is taken, or the name of a service, secret or config among its kind, in any case. A service is
    refused, too, that names a secret or config which is not there.
    """

    object: StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Replaces an object by a changed copy; ``object.version`` is the version it was copied from.

    When a service's ``spec`` differs from the stored one, the store sets ``spec_version`` to the entry's index; secrets
    and configs that it names anew must be there. A secret or config keeps all but its labels.
    """

    object: StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Removes an object; ``basis`` 0 takes any version. A secret or config that a service names stays."""

    table: str
    """"cluster", "node", "service", "task", "secret" or "config"."""
    id: str
    basis: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocateTask:
    """NEW becomes PENDING with what the allocator gave. Refused when the task is not at ``basis``."""

    task_id: str
    basis: int
    ports: tuple[PortConfig, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTask:
    """PENDING becomes ASSIGNED, on that node. Refused when the task is not at ``basis``."""

    task_id: str
    basis: int
    node_id: str
    generic_resources: tuple[GenericResource, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainTask:
    """Says on a task's status why it does not get further (``Status.Err``); its state stays."""

    task_id: str
    basis: int
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDesiredState:
    """Raises a task's desired state; lower than what is stored, or a task that is gone, changes nothing."""

    task_id: str
    state: TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveTask:
    """Records what the agent of ``node_id`` saw.

    Changes nothing when the task is gone or another node's, or when the status is of a lower state or (in the same
    state) equal to what is stored. ``applied_at`` is set to the entry's time, and so is ``Task.running_at`` when the
    task is first seen RUNNING.
    """

    task_id: str
    node_id: str
    status: TaskStatus


Change = (
    Create
    | Update
    | Delete
    | AllocateTask
    | AssignTask
    | ExplainTask
    | SetDesiredState
    | ObserveTask
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One raft entry: applied all or nothing, the same on every manager."""

    at: Timestamp
    """The proposer's clock: becomes ``created_at``, ``updated_at``, ``applied_at``."""
    changes: tuple[Change, ...]
    reign: int = 0
    """The reign in which it was decided; refused in any other. 0: whoever leads."""
    begins_reign: bool = False
    """Its index becomes the number of the reign: what was decided in the former one is refused from here on."""


tagged(Cluster, Node, Service, Task, Secret, Config)
tagged(Create, Update, Delete, AllocateTask, AssignTask, ExplainTask, SetDesiredState, ObserveTask)
