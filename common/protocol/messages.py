"""What a manager and the agent of a node say to each other.

A session is one channel. The agent opens it with ``Register``; the manager answers ``SessionOpened`` or
``SessionRefused`` and then sends assignments: everything first, then differences, numbered without a gap. An agent has
at most one ``Report`` unacknowledged, and may send ``LOG_WINDOW`` ``LogLines`` of a request ahead of ``LogMore``, so
that neither side has to hold what the other is not ready for.
"""

from dataclasses import dataclass

from common.codec import tagged
from common.model.config import Config
from common.model.fields import Timestamp
from common.model.node import NodeDescription, Role
from common.model.secret import Secret
from common.model.task import Task, TaskStatus

PROTOCOL_VERSION = 3
"""What this code speaks. 1 (release 0.1.0) knows nothing of ``NodeTold``, secrets and configs, and is sent none; who
speaks less than 3 does not know ``DialBack``."""
PAYLOAD_BYTES_PER_MESSAGE_MAX = 2 * 1024 * 1024
"""Bytes of secrets and configs in one ``Assignments``, unless it is a single larger one."""
TASKS_PER_MESSAGE_MAX = 200
"""Tasks in one ``Assignments``; a larger set is told in parts."""
REPORTS_PER_MESSAGE_MAX = 200
"""Statuses in one ``Report``; the rest waits for the acknowledgement."""
LOG_WINDOW = 4
"""``LogLines`` of one request that may be under way."""
LOG_BATCH_BYTES_MAX = 64 * 1024
"""Bytes of lines in one ``LogLines``, unless it is a single longer line."""

# ------------------------------------------------------------------------ the agent says


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """First message of a session: who I am and what this machine has. Sent again when that changes."""

    node_id: str
    description: NodeDescription
    protocol: int = 1
    """The ``PROTOCOL_VERSION`` of the agent; only the first one of a session counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """I live. Answered with ``HeartbeatTaken``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """The latest status of one task."""

    task_id: str
    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Statuses of tasks assigned to this node. Acknowledged with ``ReportTaken``; repeated until it is."""

    number: int
    reports: tuple[TaskReport, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line (or a partial one) that a task wrote."""

    task_id: str
    stream: str
    """"stdout" or "stderr"."""
    at: Timestamp
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """Part of the answer to a ``LogRequest``. The manager answers ``LogMore`` once its reader took it."""

    request_id: str
    lines: tuple[LogLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEnd:
    """No more lines will come for this request; ``error`` says why when that is not the plain end."""

    request_id: str
    error: str = ""


# ---------------------------------------------------------------------- the manager says


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """The answer to ``Register``: say that you live within this time."""

    session_id: str
    heartbeat_period_seconds: float
    managers: tuple[str, ...] = ()
    """``host:port`` of every manager, so that the node finds the next leader; empty: not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRefused:
    """The answer to ``Register`` of a node that has no place here, or at a manager that does not lead."""

    reason: str
    is_final: bool = False
    """The node is no part of this swarm and will never be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTold:
    """What concerns the node and not its agent. Follows ``SessionOpened``, and comes again whenever it changes."""

    role: Role
    """What its certificate is to say."""
    trust: bytes
    """The roots that are to be trusted now (PEM, one or more)."""
    issuer: bytes
    """The public key of the authority that its certificate is to be issued by (DER, SubjectPublicKeyInfo)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatTaken:
    """I live too; the next heartbeat is due within this time."""

    heartbeat_period_seconds: float
    managers: tuple[str, ...] = ()
    """As in ``SessionOpened``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignments:
    """What the node should have: everything (``applies_to`` 0), or the difference to message ``applies_to``."""

    applies_to: int
    results_in: int
    tasks: tuple[Task, ...] = ()
    removed_task_ids: tuple[str, ...] = ()
    continues: bool = False
    """The next message goes on with the same set: do nothing yet that depends on what is missing."""
    secrets: tuple[Secret, ...] = ()
    """Those that some task of the node needs and that the agent was not given yet: never later than that task."""
    configs: tuple[Config, ...] = ()
    removed_secret_ids: tuple[str, ...] = ()
    """No task of the node needs them any more: let them go."""
    removed_config_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTaken:
    """The report of that number is committed."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """Send the lines of these tasks. ``tail`` -1 is all; ``since``/``until`` 0.0 are unbounded."""

    request_id: str
    task_ids: tuple[str, ...]
    follow: bool = False
    stdout: bool = True
    stderr: bool = True
    since: Timestamp = 0.0
    until: Timestamp = 0.0
    tail: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMore:
    """One ``LogLines`` of that request was taken: another may be sent."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCancel:
    """Stop answering that request."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialBack:
    """Open a stream of bytes to this manager under that id: somebody wants to speak to your node's API."""

    request_id: str


FromAgent = Register | Heartbeat | Report | LogLines | LogEnd
FromManager = (
    SessionOpened
    | SessionRefused
    | NodeTold
    | HeartbeatTaken
    | Assignments
    | ReportTaken
    | LogRequest
    | LogMore
    | LogCancel
    | DialBack
)
Message = FromAgent | FromManager

tagged(Register, Heartbeat, Report, LogLines, LogEnd)
tagged(SessionOpened, SessionRefused, NodeTold, HeartbeatTaken, Assignments, ReportTaken)
tagged(LogRequest, LogMore, LogCancel, DialBack)
