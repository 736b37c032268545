"""Checks of a service's task template: resources, restarts, placement, and the container itself."""

from collections.abc import Iterable

from common.constraints import parse_constraints
from common.errors import InvalidInputError, NotFoundError, NotImplementedHereError
from common.model.placement import Placement
from common.model.policies import RestartPolicy
from common.model.resources import Limit, ResourceRequirements, Resources
from common.model.task import NetworkAttachmentConfig, TaskSpec
from manager.api.parse.container_spec import check_container_spec

NANO_CPUS_MIN = 1_000_000
MEMORY_MIN_BYTES = 4 * 1024 * 1024
SWAPPINESS_MAX = 100
LOCAL_NETWORKS = frozenset({"bridge", "host", "none"})


def check_task_template(spec: TaskSpec) -> None:
    """Refuses tasks that could not run anywhere.

    Raises:
        InvalidInputError: in Docker's words.
        NotFoundError: a network that does not exist.
        NotImplementedHereError: something of Docker's that we do not have.
    """
    if spec.resources is not None:
        _check_resources(spec.resources)
    if spec.restart_policy is not None:
        _check_restart_policy(spec.restart_policy)
    if spec.placement is not None:
        _check_placement(spec.placement)
    if spec.container_spec is None:
        raise InvalidInputError("TaskSpec: missing runtime")
    check_container_spec(spec.container_spec)
    check_networks(spec.networks)


def _check_resources(requirements: ResourceRequirements) -> None:
    for amount in (requirements.limits, requirements.reservations):
        _check_amount(amount)
    if requirements.limits.pids < 0:
        raise InvalidInputError(
            f"invalid pids value {requirements.limits.pids}: Must not be negative"
        )
    swappiness = requirements.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= SWAPPINESS_MAX:
        raise InvalidInputError(f"invalid memory swappiness {swappiness}: Must be -1 to 100")


def _check_amount(amount: Limit | Resources) -> None:
    if amount.nano_cpus != 0 and amount.nano_cpus < NANO_CPUS_MIN:
        raise InvalidInputError(
            f"invalid cpu value {amount.nano_cpus / 1e9:g}: Must be at least 0.001"
        )
    if amount.memory_bytes != 0 and amount.memory_bytes < MEMORY_MIN_BYTES:
        raise InvalidInputError(
            f"invalid memory value {amount.memory_bytes}: Must be at least 4MiB"
        )


def _check_restart_policy(policy: RestartPolicy) -> None:
    if (policy.delay_seconds or 0) < 0:
        raise InvalidInputError("TaskSpec: restart-delay cannot be negative")
    if (policy.window_seconds or 0) < 0:
        raise InvalidInputError("TaskSpec: restart-window cannot be negative")
    if (policy.max_attempts or 0) < 0:
        raise InvalidInputError("TaskSpec: restart-max-attempts cannot be negative")


def _check_placement(placement: Placement) -> None:
    parse_constraints(placement.constraints)
    if placement.max_replicas < 0:
        raise InvalidInputError("TaskSpec: replicas-max-per-node cannot be negative")
    if any(item.spread is None for item in placement.preferences):
        raise InvalidInputError("TaskSpec: a placement preference must be Spread")


def check_networks(networks: Iterable[NetworkAttachmentConfig]) -> None:
    """Refuses networks of services: there are none to join as yet.

    Raises:
        NotFoundError: no such network.
        NotImplementedHereError: one of this node's own, which services cannot name.
    """
    for network in networks:
        if network.target in LOCAL_NETWORKS:
            raise NotImplementedHereError(
                f"services on the network {network.target} are not implemented"
            )
        raise NotFoundError(f"network {network.target} not found")
