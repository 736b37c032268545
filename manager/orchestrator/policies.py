"""Which policy governs the update that a service is in."""

from common.model.policies import UpdateConfig, UpdateOrder
from common.model.service import Service, UpdateState

DEFAULT_MONITOR_SECONDS = 5.0
_DEFAULT = UpdateConfig()
_ROLLBACK = (UpdateState.ROLLBACK_STARTED, UpdateState.ROLLBACK_PAUSED)


def is_rollback(service: Service) -> bool:
    """Whether the service is on its way back to an earlier spec."""
    return service.update_status is not None and service.update_status.state in _ROLLBACK


def config_of(service: Service) -> UpdateConfig:
    """How the service's update, or its rollback, is to go."""
    spec = service.spec
    return (spec.rollback_config if is_rollback(service) else spec.update_config) or _DEFAULT


def order_of(service: Service) -> UpdateOrder:
    """Whether old tasks stop before new ones run."""
    return config_of(service).order


def monitor_seconds(config: UpdateConfig) -> float:
    """How long a task's end counts against the update: longer than the delay, so that no slot goes unwatched."""
    monitor = config.monitor_seconds
    if monitor is None:
        monitor = DEFAULT_MONITOR_SECONDS
    return monitor if config.delay_seconds < monitor else config.delay_seconds + 1.0
