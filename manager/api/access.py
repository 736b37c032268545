"""Reaching the manager that runs on this node, or saying in Docker's words why there is none."""

from common.errors import NotInSwarmError
from manager.api.ports import LocalState, RunningManager, SwarmNode
from manager.raft.key_file import LOCKED
from manager.store.state import State

_NOT_A_MANAGER = "This node is not a swarm manager. "
_NO_MANAGER = {
    LocalState.INACTIVE: _NOT_A_MANAGER
    + 'Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    LocalState.PENDING: _NOT_A_MANAGER
    + "Manager is being prepared or has trouble connecting to the cluster.",
    LocalState.ACTIVE: _NOT_A_MANAGER
    + "Worker nodes can't be used to view or modify cluster state. "
    "Please run this command on a manager node or promote the current node to a manager.",
    LocalState.LOCKED: LOCKED,
}


def manager_of(node: SwarmNode) -> RunningManager:
    """The manager of this node.

    Raises:
        NotInSwarmError: it has none.
    """
    manager = node.manager
    if manager is not None:
        return manager
    state = node.local_state()
    if state is LocalState.ERROR:
        raise NotInSwarmError(_NOT_A_MANAGER + node.local_error())
    raise NotInSwarmError(_NO_MANAGER[state])


def state_of(node: SwarmNode) -> State:
    """The cluster as this node's manager sees it.

    Raises:
        NotInSwarmError: it has none.
    """
    return manager_of(node).store.state
